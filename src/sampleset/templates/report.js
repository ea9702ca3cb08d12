"use strict";
// Everything in the data is untrusted text: it reaches the page through text nodes only.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const VOTE = data.reference;
  const ROW = 64; // height of a row in the list, as in the style
  const byId = (id) => document.getElementById(id);
  const state = { file: 0, filter: "all", method: "", find: "", id: "" };
  let shown = []; // places of the questions that pass the filter
  let at = -1; // place of the open question in `shown`

  // ---- small makers -------------------------------------------------------------------------
  function make(tag, attributes, ...children) {
    return fill(document.createElement(tag), attributes, children);
  }
  function draw(tag, attributes, ...children) {
    return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  }
  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value !== false && value !== undefined) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  }
  const percent = (share) => (100 * share).toFixed(1);
  const range = ([low, high]) => `${percent(low)}–${percent(high)}`;
  function points(difference) {
    const text = (100 * difference).toFixed(1);
    return Number(text) === 0 ? "0.0" : difference > 0 ? `+${text}` : text.replace("-", "−");
  }
  const pointRange = ([low, high]) => `${points(low)} to ${points(high)}`;
  const pValue = (p) => (p < 0.001 ? "< 0.001" : p.toFixed(3));
  const count = (number) => number.toLocaleString("en");
  const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
  const sure = (method) => method.difference_interval[0] > 0 || method.difference_interval[1] < 0;
  // Long labels may break after `_`, `:` and `,`.
  const breakable = (label) => label.split(/(?<=[_:,])/).flatMap((part) => [part, make("wbr")]);

  function verdict(answer, right) {
    if (answer === null) return { kind: "none", symbol: "–", word: "no answer" };
    if (right === null) return { kind: "none", symbol: "?", word: "not decided" };
    return right ? { kind: "right", symbol: "✓", word: "right" } : { kind: "wrong", symbol: "✗", word: "wrong" };
  }
  const mark = ({ kind, symbol, word }) => make("span", { class: `mark ${kind}` }, `${symbol} ${word}`);

  // ---- results ------------------------------------------------------------------------------
  function showResults(file) {
    const vote = file.methods.find((method) => method.label === VOTE);
    const left = file.oracle - vote.accuracy;
    byId("summary").textContent =
      `One sample is right on ${percent(file.sample_accuracy)} % of the ${plural(file.problems, "problem")}, ` +
      `the majority vote on ${percent(vote.accuracy)} %. ` +
      `On ${percent(file.oracle)} % at least one of the ${file.k} samples is right, ` +
      `so a method that picks a sample can gain ${percent(left)} points over the vote at most.`;
    const headings = ["Method", "Right, %", "vs vote, points", "Mended", "Spoilt", "Exact p", "Aggregation tokens"];
    const bound = (name, said, share) =>
      make("tr", { class: "bound" },
        make("th", { scope: "row" }, name, make("span", { class: "said" }, said)),
        make("td", {}, percent(share), " ", make("span", { class: "range" })),
        ...headings.slice(2).map(() => make("td")));
    byId("results").replaceChildren(
      make("thead", {}, make("tr", {}, headings.map((heading) => make("th", { scope: "col" }, heading)))),
      make("tbody", {},
        bound("One sample", "mean over the samples, pass@1", file.sample_accuracy),
        file.methods.map((method) => resultRow(method, file)),
        bound("Oracle", `pass@${file.k}; bounds selectors only`, file.oracle)));
    byId("notes").replaceChildren(
      ...file.notes.map((note) => make("li", {}, note)),
      ...file.methods.filter((method) => method.notes.length)
        .map((method) => make("li", {}, make("b", {}, method.label), `: ${method.notes.join("; ")}.`)));
    byId("table-caption").replaceChildren(...data.captions.map((caption) => make("span", {}, caption)));
  }

  function resultRow(method, file) {
    const isVote = method.label === VOTE;
    const tokens = method.usage.prompt_tokens + method.usage.completion_tokens;
    const change = sure(method) ? (method.difference > 0 ? "up" : "down") : "";
    const none = () => make("td", {}, "–");
    return make("tr", {},
      make("th", { scope: "row" }, breakable(method.label), isVote ? make("span", { class: "said" }, "what the others are compared with") : null),
      make("td", {}, make("strong", {}, percent(method.accuracy)), " ", make("span", { class: "range" }, range(method.interval))),
      isVote ? make("td", {}, "–", make("span", { class: "range wide" })) : make("td", {},
        make("strong", { class: change }, points(method.difference)), " ",
        make("span", { class: "range wide" }, pointRange(method.difference_interval))),
      isVote ? none() : make("td", {}, count(method.mended)),
      isVote ? none() : make("td", {}, count(method.spoilt)),
      isVote ? none() : make("td", {}, pValue(method.p_value)),
      make("td", {}, count(Math.round(tokens / file.problems)) + (method.usage.uncounted ? "+" : "")));
  }

  // ---- pictures -----------------------------------------------------------------------------
  function frame(host, height, label) {
    const width = Math.max(280, host.clientWidth);
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
    host.replaceChildren(svg);
    return { svg, width };
  }

  function ticks(low, high, most) {
    const step = [1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000, 2000, 5000, 10000].find((size) => (high - low) / size <= most) || high;
    const from = Math.floor(low / step) * step;
    return Array.from({ length: Math.ceil(high / step - 1e-9) - from / step + 1 }, (_, place) => from + place * step);
  }

  function accuracyFigure(file) {
    const vote = file.methods.find((method) => method.label === VOTE);
    const lines = [
      { name: "one sample", share: file.sample_accuracy, kind: "one" },
      { name: "vote", share: vote.accuracy, kind: "vote" },
      { name: "oracle", share: file.oracle, kind: "oracle" },
    ];
    const ends = [...lines.map((line) => line.share), ...file.methods.flatMap((method) => method.interval)];
    const rows = layout(byId("accuracy-figure"), file.methods, 62);
    const most = Math.max(2, Math.floor((byId("accuracy-figure").clientWidth - rows.gutter) / 64));
    const marks = ticks(100 * Math.min(...ends), Math.min(100, 100 * Math.max(...ends) + 1), most);
    const height = rows.height + 28;
    const said = file.methods.map((method) => `${method.label} ${percent(method.accuracy)} %`).join(", ");
    const { svg, width } = frame(byId("accuracy-figure"), height, `Accuracy: ${lines.map((line) => `${line.name} ${percent(line.share)} %`).join(", ")}; ${said}.`);
    const low = marks[0], high = marks[marks.length - 1];
    const x = (value) => rows.gutter + 8 + ((value - low) / (high - low)) * (width - rows.gutter - 16);
    const foot = rows.height;
    for (const value of marks) {
      svg.append(draw("line", { class: "grid", x1: x(value), x2: x(value), y1: rows.top - 6, y2: foot }));
      svg.append(draw("text", { class: "soft", x: x(value), y: height - 8, "text-anchor": edge(x(value), width) }, `${value} %`));
    }
    // Names stand on three levels and point inwards; a line begins at its name. The outer names stand higher,
    // so that no line runs through a name.
    const turn = (rows.gutter + 8 + width) / 2;
    const outwards = (line) => Math.abs(x(100 * line.share) - turn);
    [...lines].sort((a, b) => outwards(b) - outwards(a)).forEach((line, level) => {
      const place = x(100 * line.share), y = 14 + level * 16;
      svg.append(draw("line", { class: line.kind, x1: place, x2: place, y1: y + 4, y2: foot }));
      const leftwards = place > turn;
      svg.append(draw("text", { class: "soft halo", x: place + (leftwards ? -5 : 5), y: y + 3, "text-anchor": leftwards ? "end" : "start" },
        `${line.name} ${percent(line.share)}`));
    });
    file.methods.forEach((method, number) => {
      const y = rows.middle(number);
      const [from, to] = method.interval.map((share) => x(100 * share));
      const group = draw("g", { class: method.label === VOTE ? "is-vote" : "" });
      group.append(rows.name(method.label, number));
      group.append(draw("line", { class: "whisker", x1: from, x2: to, y1: y, y2: y }));
      for (const end of [from, to]) group.append(draw("line", { class: "whisker", x1: end, x2: end, y1: y - 4, y2: y + 4 }));
      const place = x(100 * method.accuracy);
      group.append(method.label === VOTE
        ? draw("rect", { class: "dot", x: place - 5, y: y - 5, width: 10, height: 10 })
        : draw("circle", { class: sure(method) ? "dot sure" : "dot", cx: place, cy: y, r: 5.5 }));
      svg.append(group);
    });
    byId("accuracy-caption").replaceChildren(
      make("span", {}, "Bars: 95 % intervals, where the true accuracy plausibly lies given this many problems. Whether a method differs from the vote is read off the paired difference in the table, not off overlapping bars; a filled dot says that its interval excludes 0."),
      make("span", {}, `Oracle: at least one of the ${file.k} samples is right. No method that picks a sample can pass it; one that writes an answer of its own can.`));
  }
  const edge = (place, width) => (place > width - 24 ? "end" : "middle");

  // Methods stand in a column at the left where there is room, else each above its own row.
  function layout(host, methods, top) {
    const width = Math.max(280, host.clientWidth);
    const letter = 7.4;
    const longest = letter * Math.max(...methods.map((method) => method.label.length), 0);
    const beside = width >= 460;
    const gutter = beside ? Math.min(longest + 10, width * 0.4) : 0;
    const step = beside ? 32 : 46;
    const room = Math.floor((beside ? gutter - 10 : width) / letter);
    const middle = (number) => top + step * number + (beside ? 16 : 30);
    const name = (text, number) => draw("text", { class: "halo", x: 0, y: middle(number) + (beside ? 4 : -12) },
      text.length > room ? `${text.slice(0, room - 1)}…` : text);
    return { top, gutter, middle, name, height: top + step * Math.max(1, methods.length) };
  }

  function changeFigure(file) {
    const methods = file.methods.filter((method) => method.label !== VOTE);
    const most = Math.max(1, ...methods.flatMap((method) => [method.mended, method.spoilt]));
    const rows = layout(byId("change-figure"), methods, 24), height = rows.height + 4;
    const said = methods.map((method) => `${method.label} mended ${method.mended}, spoilt ${method.spoilt}`).join("; ");
    const { svg, width } = frame(byId("change-figure"), height, `Against the vote: ${said || "no other method"}.`);
    const middle = (rows.gutter + width) / 2, reach = (width - rows.gutter) / 2 - 40;
    const size = (number) => (number / most) * reach;
    svg.append(draw("text", { class: "soft", x: middle - 8, y: 12, "text-anchor": "end" }, "← spoilt"));
    svg.append(draw("text", { class: "soft", x: middle + 8, y: 12 }, "mended →"));
    methods.forEach((method, number) => {
      const y = rows.middle(number) - 8;
      const own = size(method.mended_without_right_sample), mended = size(method.mended), spoilt = size(method.spoilt);
      svg.append(rows.name(method.label, number));
      svg.append(draw("rect", { class: "spoilt", x: middle - spoilt, y, width: spoilt, height: 16 }));
      svg.append(draw("rect", { class: "mended", x: middle, y, width: mended - own, height: 16 }));
      if (own) svg.append(draw("rect", { class: "mended new", x: middle + mended - own, y, width: own, height: 16 }));
      svg.append(draw("text", { x: middle - spoilt - 6, y: y + 13, "text-anchor": "end" }, count(method.spoilt)));
      svg.append(draw("text", { x: middle + mended + 6, y: y + 13 }, count(method.mended)));
    });
    svg.append(draw("line", { class: "axis", x1: middle, x2: middle, y1: rows.top - 4, y2: rows.height }));
    byId("change-caption").replaceChildren(
      make("span", {}, "Mended: right where the vote is wrong. Spoilt: wrong where the vote is right. Their difference is what a method gains."),
      ...(methods.some((method) => method.mended_without_right_sample)
        ? [make("span", {}, "Outlined part of mended: no sample was right, the method wrote an answer of its own.")] : []));
  }

  // ---- questions ----------------------------------------------------------------------------
  const isRight = (question, name) => question.right[name] === true;
  const FILTERS = [
    { name: "all", label: "All", passes: () => true },
    { name: "mended", label: "Vote wrong, method right", passes: (one, method) => !isRight(one, VOTE) && isRight(one, method) },
    { name: "spoilt", label: "Vote right, method wrong", passes: (one, method) => isRight(one, VOTE) && !isRight(one, method) },
    { name: "none-right", label: "All samples wrong", passes: (one) => !one.sample_right.includes(true) },
    { name: "disagree", label: "Methods disagree", passes: (one) => one.disagree },
  ];

  function showControls(file) {
    const others = file.methods.filter((method) => method.label !== VOTE);
    const labels = (others.length ? others : file.methods).map((method) => method.label);
    if (!labels.includes(state.method)) {
      const differing = others.filter((method) => method.mended + method.spoilt);
      const best = differing.sort((a, b) => b.accuracy - a.accuracy)[0];
      state.method = best ? best.label : labels[0];
    }
    byId("method").replaceChildren(...labels.map((name) => make("option", { value: name, selected: name === state.method }, name)));
    showFilters(file);
  }

  function showFilters(file) {
    const legend = byId("filters").firstElementChild;
    byId("filters").replaceChildren(legend, ...FILTERS.map((filter) =>
      make("label", {},
        make("input", { type: "radio", name: "filter", value: filter.name, checked: filter.name === state.filter }),
        make("span", {}, filter.label),
        make("span", { class: "number" }, count(file.questions.filter((one) => filter.passes(one, state.method)).length)))));
  }

  function select(keep) {
    const file = data.files[state.file];
    const filter = FILTERS.find((one) => one.name === state.filter) || FILTERS[0];
    const words = state.find.toLowerCase().split(/\s+/).filter(Boolean);
    const holds = (one) => words.every((word) => one.question.toLowerCase().includes(word) || one.id.toLowerCase().includes(word));
    shown = file.questions.flatMap((one, place) => (filter.passes(one, state.method) && holds(one) ? [place] : []));
    at = shown.findIndex((place) => file.questions[place].id === state.id);
    if (at < 0 && shown.length) at = 0;
    byId("count").textContent = shown.length === file.questions.length
      ? plural(shown.length, "question") : `${count(shown.length)} of ${plural(file.questions.length, "question")}`;
    byId("rows").style.height = `${Math.max(1, shown.length) * ROW}px`;
    if (!keep) byId("list").scrollTop = 0;
    open(at, keep);
  }

  // Only the rows in view are in the page.
  function showRows() {
    const file = data.files[state.file], list = byId("list");
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
    const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 4);
    const rows = [];
    for (let place = first; place < last; place++) rows.push(questionRow(file, place));
    byId("rows").replaceChildren(...(shown.length ? rows : [make("p", { class: "empty" }, "No question passes this filter.")]));
    if (at >= 0) list.setAttribute("aria-activedescendant", `row-${at}`);
    else list.removeAttribute("aria-activedescendant");
  }

  function questionRow(file, place) {
    const one = file.questions[shown[place]];
    const symbol = (name) => {
      const { kind, symbol: sign, word } = verdict(one.answers[name], one.right[name]);
      return make("span", { class: `mark ${kind}`, title: word }, sign);
    };
    const rights = one.sample_right.filter((right) => right === true).length;
    const compared = state.method === VOTE ? [] : [" · ", symbol(state.method), ` ${state.method}`];
    const row = make("div", {
      class: "row", role: "option", id: `row-${place}`, "aria-selected": String(place === at),
      "aria-setsize": shown.length, "aria-posinset": place + 1,
    },
      make("span", { class: "line", dir: "auto" }, one.question.slice(0, 160)),
      make("span", { class: "line" }, `${rights}/${file.k} right · `, symbol(VOTE), " vote", compared));
    row.style.top = `${place * ROW}px`;
    row.addEventListener("click", () => {
      open(place);
      if (matchMedia("(max-width: 46rem)").matches) byId("detail").scrollIntoView();
    });
    return row;
  }

  function open(place, keep) {
    at = shown.length ? Math.min(Math.max(place, 0), shown.length - 1) : -1;
    const list = byId("list");
    if (at >= 0) {
      const top = at * ROW;
      if (top < list.scrollTop) list.scrollTop = top;
      if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = keep ? top : top + ROW - list.clientHeight;
      state.id = data.files[state.file].questions[shown[at]].id;
    }
    showRows();
    showQuestion();
    remember();
  }

  function showQuestion() {
    if (at < 0) return byId("detail").replaceChildren();
    const file = data.files[state.file], one = file.questions[shown[at]];
    const step = (text, by, name) => {
      const target = at + by;
      const button = make("button", { type: "button", id: name, disabled: target < 0 || target >= shown.length }, text);
      button.addEventListener("click", () => { open(target); const again = byId(name); (again.disabled ? byId("list") : again).focus(); });
      return button;
    };
    const answerRow = (method) => {
      const name = method.label, answer = one.answers[name];
      return make("tr", { class: name === state.method && "chosen" },
        make("th", { scope: "row" }, breakable(name)),
        make("td", { class: "value", dir: "auto" }, answer === null ? "–" : answer),
        make("td", {}, mark(verdict(answer, one.right[name]))));
    };
    byId("detail").replaceChildren(
      make("div", { class: "detail-head" },
        make("span", { class: "mono" }, one.id),
        make("span", {}, step("← Previous", -1, "previous"), " ", step("Next →", 1, "next"))),
      make("p", { class: "question-text", dir: "auto" }, one.question),
      make("table", { class: "answers" },
        make("thead", { class: "hidden" }, make("tr", {}, ["Method", "Answer", "Grade"].map((heading) => make("th", { scope: "col" }, heading)))),
        make("tbody", {},
          make("tr", {}, make("th", { scope: "row" }, "gold answer"), make("td", { class: "value", dir: "auto" }, one.gold), make("td")),
          file.methods.map(answerRow))),
      make("h3", {}, `The ${file.k} samples, with the answer read from each`),
      make("div", { class: "cards" }, one.samples.map((text, number) => card(one, text, number))));
  }

  function card(one, text, number) {
    const answer = one.sample_answers[number];
    const said = verdict(answer, one.sample_right[number]);
    return make("article", { class: `card ${said.kind}`, "aria-label": `Sample ${number + 1}, ${said.word}` },
      make("header", {},
        make("div", { class: "top" }, make("span", {}, `Sample ${number + 1}`), mark(said)),
        make("p", { class: "read mono", dir: "auto" }, answer === null ? "–" : answer)),
      make("p", { class: "text", dir: "auto", tabindex: "0", "aria-label": `Text of sample ${number + 1}`, role: "group" }, text || "(empty)"));
  }

  // ---- the page as a whole ------------------------------------------------------------------
  // The address remembers what is open, so that a question can be linked to.
  function remember() {
    const kept = new URLSearchParams();
    if (data.files.length > 1) kept.set("file", state.file);
    for (const name of ["method", "filter", "find", "id"]) if (state[name]) kept.set(name, state[name]);
    try { history.replaceState(null, "", `#${kept}`); } catch { /* some viewers keep no address */ }
  }
  function recall() {
    const kept = new URLSearchParams(location.hash.slice(1));
    const file = Number(kept.get("file"));
    if (data.files[file]) state.file = file;
    for (const name of ["method", "find", "id"]) if (kept.has(name)) state[name] = kept.get(name);
    if (FILTERS.some((filter) => filter.name === kept.get("filter"))) state.filter = kept.get("filter");
    byId("find").value = state.find;
  }

  function pictures() {
    accuracyFigure(data.files[state.file]);
    changeFigure(data.files[state.file]);
  }

  function showFile(keep) {
    const file = data.files[state.file];
    for (const [place, tab] of [...byId("tabs").children].entries()) {
      tab.setAttribute("aria-selected", String(place === state.file));
      tab.tabIndex = place === state.file ? 0 : -1;
    }
    showResults(file);
    pictures();
    showControls(file);
    const options = file.methods.map((method) => [method.label, { options: method.options, flags: method.flags }]);
    byId("settings").replaceChildren(
      make("p", {}, `sampleset ${data.version}; bootstrap of ${count(data.resamples)} resamples.`),
      make("h3", {}, "Settings"), make("pre", {}, JSON.stringify(data.settings, null, 2)),
      make("h3", {}, "Methods: options, and how often each flag was raised"),
      make("pre", {}, JSON.stringify(Object.fromEntries(options), null, 2)));
    select(keep);
  }

  function showHeading() {
    const labels = new Set(data.files.flatMap((file) => file.methods.map((method) => method.label)));
    const sizes = [...new Set(data.files.map((file) => file.k))].sort((a, b) => a - b).join(" or ");
    const where = data.files.length === 1 ? data.files[0].source : plural(data.files.length, "file");
    const ways = labels.size === 1 ? "1 way" : `${labels.size} ways`;
    byId("heading").textContent = `${ways} to combine ${sizes} samples into one answer, compared on ${where}`;
    const other = labels.size > 1 ? ` The others are compared with the majority vote, problem by problem.` : "";
    byId("subheading").textContent = `Every method reads the very same samples of each problem.${other}`;
    document.title = `${where}: sampleset report`;
  }

  function showTabs() {
    if (data.files.length < 2) return;
    byId("tabs").hidden = false;
    byId("panel").setAttribute("role", "tabpanel");
    byId("tabs").replaceChildren(...data.files.map((file, place) => {
      const tab = make("button", { type: "button", role: "tab", "aria-controls": "panel" }, file.source);
      tab.addEventListener("click", () => { state.file = place; state.id = ""; showFile(false); });
      return tab;
    }));
    byId("tabs").addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      const tab = byId("tabs").children[(state.file + by + data.files.length) % data.files.length];
      tab.click();
      tab.focus();
    });
  }

  function listen() {
    byId("method").addEventListener("change", (event) => { state.method = event.target.value; showFilters(data.files[state.file]); select(false); });
    byId("filters").addEventListener("change", (event) => { state.filter = event.target.value; select(false); });
    byId("find").addEventListener("input", (event) => { state.find = event.target.value; select(false); });
    byId("list").addEventListener("scroll", () => requestAnimationFrame(showRows), { passive: true });
    byId("list").addEventListener("keydown", (event) => {
      const page = Math.max(1, Math.floor(byId("list").clientHeight / ROW) - 1);
      const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
      if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      open(at + by);
    });
    let width = innerWidth;
    addEventListener("resize", () => {
      showRows();
      if (innerWidth !== width) { width = innerWidth; pictures(); }
    });
  }

  showHeading();
  if (!data.files.length) return;
  recall();
  showTabs();
  listen();
  showFile(true);
})();
