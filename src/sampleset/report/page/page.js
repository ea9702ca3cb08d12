"use strict";
// The page as a whole: tables, controls and the questions. Everything in the data is untrusted text: it
// reaches the page through text nodes, mathematics through `mathematics.put` only.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const VOTE = data.vote;
  const ROW = 64; // height of a row in the list, as in the style
  const byId = (id) => document.getElementById(id);
  const state = { file: 0, k: 0, filter: "all", method: "", find: "", id: "", by: "", typeset: true, hidden: new Set() };
  const LABELS = [...new Set([VOTE, ...data.files.flatMap((file) => file.points.flatMap((point) => point.methods.map((method) => method.label)))])].filter(Boolean);
  const numberOf = (label) => (label === VOTE ? 0 : LABELS.indexOf(label) + (VOTE ? 0 : 1));
  let shown = []; // places of the questions that pass the filter
  let at = -1; // place of the open question in `shown`
  const file = () => data.files[state.file];
  const point = () => file().points[state.k];
  const labelsHere = () => LABELS.filter((label) => file().points.some((one) => one.methods.some((method) => method.label === label)));

  // ---- small makers -------------------------------------------------------------------------
  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value !== false && value !== undefined) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  }
  const percent = (share) => (share === null || share === undefined ? "–" : (100 * share).toFixed(1));
  const range = ({ low, high }) => `${percent(low)}–${percent(high)}`;
  function points(difference) {
    const text = (100 * difference).toFixed(1);
    return Number(text) === 0 ? "0.0" : difference > 0 ? `+${text}` : text.replace("-", "−");
  }
  const pointRange = ({ low, high }) => `${points(low)} to ${points(high)}`;
  const pValue = (p) => (p === null ? "–" : p < 0.001 ? "< 0.001" : p.toFixed(3));
  const count = (number) => number.toLocaleString("en");
  const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
  const sure = ({ low, high }) => low > 0 || high < 0;
  const spent = (use) => `${use.estimated ? "~" : ""}${count(Math.round(use.prompt + use.completion))}${use.uncounted ? "+" : ""}`;
  const money = (cost) => (cost === null ? "–" : cost === 0 ? "0" : cost.toPrecision(3));
  // Long labels may break after `_`, `:`, `=` and `,`.
  const breakable = (label) => label.split(/(?<=[_:=,])/).flatMap((part) => [part, make("wbr")]);
  const named = (label) => [figures.sample(numberOf(label), false), breakable(label)];

  function verdict(answer, right) {
    if (right === undefined) return { kind: "none", symbol: "·", word: "not run" };
    if (answer === null || answer === undefined) return { kind: "none", symbol: "–", word: "no answer" };
    if (right === null) return { kind: "none", symbol: "?", word: "not decided" };
    return right ? { kind: "right", symbol: "✓", word: "right" } : { kind: "wrong", symbol: "✗", word: "wrong" };
  }
  const mark = ({ kind, symbol, word }) => make("span", { class: `mark ${kind}` }, `${symbol} ${word}`);

  // ---- results ------------------------------------------------------------------------------
  function table(host, headings, rows) {
    host.replaceChildren(make("thead", {}, make("tr", {}, headings.map((heading) => make("th", { scope: "col" }, heading)))), make("tbody", {}, rows));
  }
  const shareCell = (share, interval) => make("td", {}, make("strong", {}, percent(share)), " ", make("span", { class: "range" }, range(interval)));
  function differenceCell(difference, interval) {
    const change = sure(interval) ? (difference > 0 ? "up" : "down") : "";
    return make("td", {}, make("strong", { class: change }, points(difference)), " ", make("span", { class: "range wide" }, pointRange(interval)));
  }
  const noDifference = () => make("td", {}, "–", make("span", { class: "range wide" }));

  function showResults() {
    const here = point(), costly = data.currency !== null;
    if (!here) {
      byId("summary").textContent = "No problem of this file has enough samples.";
      byId("results").replaceChildren();
      byId("notes").replaceChildren(...file().notes.map((note) => make("li", {}, note)));
      return;
    }
    const vote = here.methods.find((method) => method.label === VOTE);
    byId("summary").textContent =
      `One sample is right on ${percent(here.sample_accuracy)} % of the ${plural(here.problems, "problem")}` +
      (vote ? `, the majority vote over ${here.k} on ${percent(vote.accuracy)} %. ` : ". ") +
      `In ${percent(here.oracle)} % of the cases at least one of the ${plural(here.k, "sample")} is right` +
      (vote ? `, so a method that picks a sample can gain ${percent(here.oracle - vote.accuracy)} points over the vote at most.` : ".");
    const headings = ["Method", "Right, %", "vs vote, points", "Mended / spoilt", "p, Holm", "Tokens of the aggregation", ...(costly ? [`Cost, ${data.currency}`] : []), "Vote at the same tokens, %"];
    const bound = (name, said, share) => make("tr", { class: "bound" },
      make("th", { scope: "row" }, name, make("span", { class: "said" }, said)),
      make("td", {}, percent(share), " ", make("span", { class: "range" })), headings.slice(2).map(() => make("td")));
    table(byId("results"), headings, [
      bound("One sample", "mean over the samples, pass@1", here.sample_accuracy),
      ...here.methods.map((method) => resultRow(method, costly)),
      bound("Oracle", "some sample is right; bounds selectors only", here.oracle),
    ]);
    byId("notes").replaceChildren(
      ...[...here.notes, ...file().notes].map((note) => make("li", {}, note)),
      ...here.methods.filter((method) => method.notes.length).map((method) => make("li", {}, make("b", {}, method.label), `: ${method.notes.join("; ")}.`)));
    byId("table-caption").replaceChildren(...[...data.told.captions, data.told.matched].map((caption) => make("span", {}, caption)));
  }

  function resultRow(method, costly) {
    const isVote = method.label === VOTE, matched = method.matched;
    return make("tr", { class: figures.colour(numberOf(method.label)) },
      make("th", { scope: "row" }, named(method.label), isVote && make("span", { class: "said" }, "what the others are compared with"), method.model && make("span", { class: "said" }, method.model)),
      shareCell(method.accuracy, method.interval),
      isVote ? noDifference() : differenceCell(method.difference, method.difference_interval),
      make("td", {}, isVote ? "–" : `${count(method.mended)} / ${count(method.spoilt)}`),
      make("td", { title: isVote ? undefined : `alone: ${pValue(method.p_value)}` }, pValue(method.p_holm)),
      make("td", {}, spent(method.usage)),
      costly && make("td", {}, money(method.cost)),
      matched ? make("td", {}, percent(matched.accuracy), " ", make("span", { class: "range" }, `k = ${count(matched.k)}${matched.k < matched.wanted ? ` of ${count(matched.wanted)}` : ""}`)) : make("td", {}, "–", make("span", { class: "range" })));
  }

  function showMacro() {
    const macro = data.macro.find((one) => point() && one.k === point().k) || data.macro[data.macro.length - 1];
    byId("macro").hidden = !macro;
    if (!macro) return;
    byId("macro-title").textContent = `Mean over ${macro.files.length} files, k = ${macro.k}`;
    table(byId("macro-results"), ["Method", "Right, %", "vs vote, points", ...macro.files], [
      ...macro.methods.map((method) => make("tr", { class: figures.colour(numberOf(method.label)) },
        make("th", { scope: "row" }, named(method.label), method.files.length > 0 && method.files.length < macro.files.length && make("span", { class: "said" }, `over ${method.files.length} of ${macro.files.length} files`)),
        shareCell(method.accuracy, method.interval),
        method.label === VOTE ? noDifference() : differenceCell(method.difference, method.difference_interval),
        macro.files.map((source) => make("td", { class: method.files.length > 0 && !method.files.includes(source) && "left-out" }, percent(accuracyIn(source, macro.k, method.label)))))),
      make("tr", { class: "bound" }, make("th", { scope: "row" }, "Oracle", make("span", { class: "said" }, `pass@${macro.k}; bounds selectors only`)),
        make("td", {}, percent(macro.pass_at_k), " ", make("span", { class: "range" })), make("td"), macro.files.map((source) => make("td", {}, percent(pointOf(source, macro.k)?.pass_at_k)))),
    ]);
    byId("macro-caption").replaceChildren(...[data.told.macro, ...macro.notes].map((caption) => make("span", {}, caption)));
  }
  const pointOf = (source, k) => data.files.find((one) => one.source === source)?.points.find((one) => one.k === k);
  const accuracyIn = (source, k, label) => pointOf(source, k)?.methods.find((one) => one.label === label)?.accuracy;

  // ---- pictures -----------------------------------------------------------------------------
  function pictures() {
    const here = point();
    for (const figure of document.querySelectorAll(".figures")) figure.hidden = !here;
    if (!here) return;
    const methods = labelsHere().filter((label) => !state.hidden.has(label)).map((label) => ({ label, number: numberOf(label) }));
    figures.curves(byId("curve-figure"), file(), methods, VOTE, here.k);
    figures.costs(byId("cost-figure"), file(), methods, VOTE, here.k);
    figures.recovery(byId("recovery-figure"), here, methods, VOTE);
    figures.breakdown(byId("breakdown-figure"), here, methods, state.by);
    figures.reliability(byId("reliability-figure"), here, methods);
    figures.coverage(byId("coverage-figure"), here, methods);
    const captions = {
      curve: "Bars and band: 95 % intervals, clustered by problem. Whether a method differs from the vote is read off the paired difference in the table, not off overlapping bars. Marks stand slightly aside where several methods share a k.",
      cost: `Tokens of sampling and aggregation. Marks bear their smallest and largest k. Black line: the vote, which buys samples alone. Open squares: the vote given the tokens of the method at k = ${here.k}, as far as there are samples.${here.sampling.estimated || here.methods.some((method) => method.usage.estimated) ? " Tokens are estimated from the length of the texts." : ""}`,
      recovery: `At k = ${here.k}. Minority recovery: right where the vote is wrong and some sample is right. All-wrong recovery: right where no sample is; only a method that writes answers of its own can. Harm: not right where the vote is; lower is better.`,
      breakdown: `At k = ${here.k}.${state.by === "right_samples" ? "" : " Dashed: some sample is right."} Pale: fewer than ${figures.FEW} problems, where chance decides.`,
      reliability: `At k = ${here.k}. On the diagonal the confidence is true; below it, too high. Bars: 95 % intervals. Larger marks: more problems, ${figures.FEW} at least. ${here.methods.filter((method) => method.calibration).map((method) => `${method.label}: Brier ${method.calibration.brier.toFixed(3)} over ${percent(method.calibration.answered)} %`).join("; ")}.`,
      coverage: `At k = ${here.k}. Accuracy if only those problems were answered on which the method is most confident, from ${figures.FEW} problems on. Dotted: at least so many are right, with 95 % confidence, for each share alone. To choose a share by these questions needs a stricter test: sampleset certify.`,
    };
    if (!here.methods.some((method) => method.calibration)) captions.reliability = captions.coverage = "";
    for (const [name, caption] of Object.entries(captions)) byId(`${name}-caption`).textContent = caption;
  }

  function showLegend() {
    const legend = byId("legend").firstElementChild;
    byId("legend").replaceChildren(legend, ...labelsHere().map((label) => {
      const button = make("button", { type: "button", class: figures.colour(numberOf(label)), "aria-pressed": String(!state.hidden.has(label)), title: "Show or hide in the pictures" }, figures.sample(numberOf(label)), make("span", {}, breakable(label)));
      button.addEventListener("click", () => {
        if (!state.hidden.delete(label)) state.hidden.add(label);
        button.setAttribute("aria-pressed", String(!state.hidden.has(label)));
        pictures();
      });
      return button;
    }));
  }

  // ---- questions ----------------------------------------------------------------------------
  const isRight = (question, name) => question.right[name] === true;
  const anyRight = (question) => question.sample_right.includes(true);
  const FILTERS = [
    { name: "all", label: "All", passes: () => true },
    { name: "mended", label: "Vote wrong, METHOD right", passes: (one, method) => !isRight(one, VOTE) && isRight(one, method) },
    { name: "spoilt", label: "Vote right, METHOD wrong", passes: (one, method) => isRight(one, VOTE) && !isRight(one, method) },
    { name: "disagree", label: "Methods disagree", passes: (one) => one.disagree },
    { name: "minority", label: "Vote wrong, some sample right", passes: (one) => !isRight(one, VOTE) && anyRight(one) },
    { name: "none-right", label: "All samples wrong", passes: (one) => !anyRight(one) },
    { name: "abstained", label: "METHOD abstained", passes: (one, method) => one.answers[method] === null },
    { name: "undecided", label: "METHOD undecided", passes: (one, method) => typeof one.answers[method] === "string" && one.right[method] === null },
  ];

  function showControls() {
    const labels = labelsHere(), others = labels.filter((label) => label !== VOTE);
    const choice = others.length ? others : labels;
    if (!choice.includes(state.method)) {
      const best = [...((point() && point().methods) || [])].filter((method) => choice.includes(method.label)).sort((a, b) => b.mended - a.mended)[0];
      state.method = best ? best.label : choice[0] || "";
    }
    byId("method").replaceChildren(...choice.map((name) => make("option", { value: name, selected: name === state.method }, name)));
    const embedded = file().questions.length, all = file().questions_in_all;
    byId("embedded").textContent = embedded < all
      ? `This page holds ${count(embedded)} of ${plural(all, "question")} of this file: those on which methods differ first. All are in questions.jsonl.`
      : `All ${plural(all, "question")} of this file. Each is shown with one subset of its samples, of the largest k it has.`;
    showFilters();
  }

  function showFilters() {
    const legend = byId("filters").firstElementChild;
    byId("filters").replaceChildren(legend, ...FILTERS.map((filter) =>
      make("label", {},
        make("input", { type: "radio", name: "filter", value: filter.name, checked: filter.name === state.filter }),
        make("span", {}, filter.label),
        make("span", { class: "number" }, count(file().questions.filter((one) => filter.passes(one, state.method)).length)))));
  }

  function select(keep) {
    const questions = file().questions;
    const filter = FILTERS.find((one) => one.name === state.filter) || FILTERS[0];
    const words = state.find.toLowerCase().split(/\s+/).filter(Boolean);
    const searched = (one) => [one.id, one.question, one.gold, one.level, one.subject, ...one.sample_answers].filter(Boolean).join("\n").toLowerCase();
    const holds = (one) => !words.length || (() => { const text = searched(one); return words.every((word) => text.includes(word)); })();
    shown = questions.flatMap((one, place) => (filter.passes(one, state.method) && holds(one) ? [place] : []));
    at = shown.findIndex((place) => questions[place].id === state.id);
    if (at < 0 && shown.length) at = 0;
    byId("count").textContent = shown.length === questions.length ? plural(shown.length, "question") : `${count(shown.length)} of ${plural(questions.length, "question")}`;
    byId("rows").style.height = `${Math.max(1, shown.length) * ROW}px`;
    if (!keep) byId("list").scrollTop = 0;
    open(at, keep);
  }

  // Only the rows in view are in the page.
  function showRows() {
    const list = byId("list"), rows = [];
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
    const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 4);
    for (let place = first; place < last; place++) rows.push(questionRow(place));
    byId("rows").replaceChildren(...(shown.length ? rows : [make("p", { class: "empty" }, "No question passes this filter.")]));
    if (at >= 0) list.setAttribute("aria-activedescendant", `row-${at}`);
    else list.removeAttribute("aria-activedescendant");
  }

  function questionRow(place) {
    const one = file().questions[shown[place]];
    const symbol = (name) => {
      const { kind, symbol: sign, word } = verdict(one.answers[name], one.right[name]);
      return make("span", { class: `mark ${kind}`, title: word }, sign);
    };
    const rights = one.sample_right.filter((right) => right === true).length;
    const row = make("div", {
      class: "row", role: "option", id: `row-${place}`, "aria-selected": String(place === at), "aria-setsize": shown.length, "aria-posinset": place + 1,
    },
      make("span", { class: "line", dir: "auto" }, one.question.slice(0, 160)),
      make("span", { class: "line" }, `${rights}/${one.k} right`, VOTE ? [" · ", symbol(VOTE), " vote"] : [], state.method && state.method !== VOTE ? [" · ", symbol(state.method), ` ${state.method}`] : []));
    row.style.top = `${place * ROW}px`;
    row.addEventListener("click", () => {
      open(place);
      if (matchMedia("(max-width: 52rem)").matches) byId("detail").scrollIntoView();
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
      state.id = file().questions[shown[at]].id;
    }
    showRows();
    showQuestion();
    remember();
  }

  function showQuestion() {
    if (at < 0) return byId("detail").replaceChildren();
    const one = file().questions[shown[at]];
    const step = (text, by, name) => {
      const target = at + by;
      const button = make("button", { type: "button", id: name, disabled: target < 0 || target >= shown.length }, text);
      button.addEventListener("click", () => { open(target); const again = byId(name); (again.disabled ? byId("list") : again).focus(); });
      return button;
    };
    const labels = labelsHere().filter((label) => label in one.answers);
    // What spoke for an answer against the next likeliest, loudest first.
    const spoken = (name) => Object.entries((one.evidence || {})[name] || {}).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]))
      .slice(0, 5).map(([feature, size]) => `${feature} ${size < 0 ? "−" : "+"}${Math.abs(size).toFixed(2)}`).join(", ");
    const answerRow = (name) => make("tr", { class: name === state.method && "chosen" },
      make("th", { scope: "row" }, breakable(name)),
      make("td", { class: "value", dir: "auto" }, one.answers[name] === null ? "–" : one.answers[name]),
      make("td", { class: "grade" }, mark(verdict(one.answers[name], one.right[name]))),
      make("td", { class: "soft" }, name in one.confidences ? `confidence ${one.confidences[name].toFixed(2)}` : "", spoken(name) && make("div", {}, `for it: ${spoken(name)}`)));
    const said = [one.subject, one.level && `level ${one.level}`].filter(Boolean).join(" · ");
    const written = labels.filter((label) => label in one.texts);
    byId("detail").replaceChildren(
      make("div", { class: "detail-head" },
        make("span", { class: "mono" }, one.id, said ? ` · ${said}` : ""),
        make("span", {}, step("← Previous", -1, "previous"), " ", step("Next →", 1, "next"))),
      mathText(make("p", { class: "question-text", dir: "auto" }), one.question),
      make("table", { class: "answers" },
        make("thead", { class: "hidden" }, make("tr", {}, ["Method", "Answer", "Grade", "Confidence"].map((heading) => make("th", { scope: "col" }, heading)))),
        make("tbody", {},
          make("tr", {}, make("th", { scope: "row" }, "gold answer"), make("td", { class: "value", dir: "auto" }, one.gold), make("td"), make("td")),
          labels.map(answerRow))),
      make("h3", {}, `${plural(one.k, "sample")} that the methods read, with the answer read from each`),
      make("div", { class: "cards" }, one.samples.map((text, number) =>
        card(`Sample ${one.shown[number] + 1}`, text, one.sample_answers[number], one.sample_right[number]))),
      ...(written.length ? [make("h3", {}, "What methods wrote themselves"), make("div", { class: "cards" },
        written.map((label) => card(label, one.texts[label], one.answers[label], one.right[label])))] : []));
  }

  function card(title, text, answer, right) {
    const said = verdict(answer, right);
    const read = make("p", { class: "read mono", dir: "auto" }, answer === null ? "–" : answer);
    const body = mathText(make("div", { class: "sample-text", dir: "auto" }), text || "(empty)", true);
    const whole = make("article", { class: `card ${said.kind}`, "aria-label": `${title}, ${said.word}` },
      make("header", {},
        make("div", { class: "top" }, make("span", {}, breakable(title)), mark(said)),
        read),
      body);
    folds.add(whole, [read, body]);
    return whole;
  }

  // Mathematics of samples is set when it comes near the view: a question may have many long ones.
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      const text = waiting.get(target);
      waiting.delete(target);
      if (text !== undefined) mathematics.put(target, text, true);
    }
  }, { rootMargin: "600px" });
  const waiting = new WeakMap();
  function mathText(element, text, later) {
    mathematics.put(element, text, state.typeset && !later);
    if (state.typeset && later) { waiting.set(element, text); watcher.observe(element); }
    return element;
  }

  // ---- the page as a whole ------------------------------------------------------------------
  // The address remembers what is open, so that a question can be linked to.
  function remember() {
    const kept = new URLSearchParams();
    if (data.files.length > 1) kept.set("file", state.file);
    if (point()) kept.set("k", point().k);
    for (const name of ["method", "filter", "find", "id"]) if (state[name]) kept.set(name, state[name]);
    try { history.replaceState(null, "", `#${kept}`); } catch { /* some viewers keep no address */ }
  }
  function recall() {
    const kept = new URLSearchParams(location.hash.slice(1));
    if (data.files[Number(kept.get("file"))]) state.file = Number(kept.get("file"));
    if (kept.has("method")) state.method = kept.get("method");
    for (const name of ["find", "id"]) state[name] = kept.get(name) || "";
    state.filter = FILTERS.some((filter) => filter.name === kept.get("filter")) ? kept.get("filter") : "all";
    byId("find").value = state.find;
    return Number(kept.get("k"));
  }

  function showPoint() {
    showResults();
    showMacro();
    const names = point() ? Object.keys(point().breakdowns).filter((name) => point().breakdowns[name].length) : [];
    byId("breakdown").hidden = !names.length;
    if (!names.includes(state.by)) state.by = names[0] || "";
    byId("by").replaceChildren(...names.map((name) => make("option", { value: name, selected: name === state.by }, { right_samples: "number of right samples" }[name] || name)));
    pictures();
  }

  function showFile(k, keep) {
    const found = file().points.findIndex((one) => one.k === k);
    state.k = found < 0 ? Math.max(0, file().points.length - 1) : found;
    byId("file").value = String(state.file);
    byId("k").replaceChildren(...file().points.map((one, place) => make("option", { value: place, selected: place === state.k }, `${one.k}`)));
    byId("results-title").textContent = data.files.length > 1 ? `Results on ${file().source}` : "Results";
    showLegend();
    showPoint();
    showControls();
    const options = (point() ? point().methods : []).map((method) => [method.label, { options: method.options, model: method.model, flags: method.flags }]);
    byId("settings").replaceChildren(
      make("p", {}, `sampleset ${data.version}; at most ${plural(data.subsets, "subset")} per problem and k; bootstrap of ${plural(data.resamples, "resample")}; seed ${data.seed}.`),
      make("h3", {}, "Settings"), make("pre", {}, JSON.stringify(data.settings, null, 2)),
      make("h3", {}, "Methods: options, and how often each flag was raised"), make("pre", {}, JSON.stringify(Object.fromEntries(options), null, 2)));
    select(keep);
  }

  function showHeading() {
    const where = data.files.length === 1 ? data.files[0].source : plural(data.files.length, "file");
    byId("heading").textContent = `${LABELS.length === 1 ? "1 way" : `${LABELS.length} ways`} to make one answer of several samples, compared on ${where}`;
    const other = LABELS.length > 1 ? " The others are compared with the majority vote, problem by problem." : "";
    byId("subheading").textContent = `Every method reads the very same samples of each problem.${other}`;
    document.title = `${where}: sampleset report`;
    byId("file").replaceChildren(...data.files.map((one, place) => make("option", { value: place }, one.source)));
  }

  function listen() {
    const when = (id, event, act) => byId(id).addEventListener(event, act);
    when("file", "change", (event) => { const k = point() && point().k; state.file = Number(event.target.value); state.id = ""; showFile(k, false); });
    when("k", "change", (event) => { state.k = Number(event.target.value); showPoint(); remember(); });
    when("by", "change", (event) => { state.by = event.target.value; pictures(); });
    when("method", "change", (event) => { state.method = event.target.value; showFilters(); select(false); });
    when("typeset", "change", (event) => { state.typeset = event.target.checked; showQuestion(); });
    when("filters", "change", (event) => { state.filter = event.target.value; select(false); });
    when("find", "input", (event) => { state.find = event.target.value; select(false); });
    byId("list").addEventListener("scroll", () => requestAnimationFrame(showRows), { passive: true });
    when("list", "keydown", (event) => {
      const page = Math.max(1, Math.floor(byId("list").clientHeight / ROW) - 1);
      const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
      if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      open(at + by);
    });
    // A link into this page that is opened in it; `remember` makes no such event.
    addEventListener("hashchange", () => showFile(recall() || (point() && point().k), true));
    let width = innerWidth;
    addEventListener("resize", () => {
      showRows();
      if (innerWidth !== width) { width = innerWidth; pictures(); }
    });
  }

  if (!data.files.length) return;
  showHeading();
  const k = recall();
  listen();
  showFile(k, true);
})();
