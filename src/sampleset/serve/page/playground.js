"use strict";
// Ask the server this page comes from, and show how k samples become an answer. Samples are untrusted text: it
// goes into text nodes, and delimited mathematics through `mathematics.put`, which trusts nothing.
(() => {
  const $ = (id) => document.getElementById(id);
  const PRESETS = [
    ["Seats", "A train has 8 cars with 30 seats each. How many seats does the train have?"],
    ["Trees", "A farmer has 4 rows of 6 trees. How many trees does the farmer have?"],
    ["Eggs", "A box holds 6 eggs. Nora buys 3 boxes and breaks 2 eggs on the way home. How many whole eggs does she have?"],
    ["Probability", "Two fair six-sided dice are rolled. What is the probability that the sum is 7 or 11? Give a fraction."],
    ["Multiple choice", "Which planet has the most mass?\nA. Mars\nB. Saturn\nC. Jupiter\nD. Neptune"],
    ["Algebra", "Find all real $x$ with $x^2 - 5x + 6 = 0$. Give the larger root."],
  ];
  const LONGEST_ANSWER = 60, COLOURS = 6, FLAGS = {
    no_answers: "no sample states an answer that could be compared: this is the first sample",
    tie: "no answer has more votes than every other; the seed decided",
    unanimous: "all samples agree",
    aggregator_failed: "the aggregator failed; the vote decided",
    fallback_vote: "the aggregator's reply could not be read; the vote decided",
    new_answer: "no sample gives this answer: the aggregator found it",
    guarded: "too few samples give the aggregator's answer; the vote decided",
    low_confidence: "the confidence is below what this model asks for, so the answer is withheld",
    no_confidence: "the aggregator states no confidence, so the answer is withheld",
    settled_by_vote: "the vote was settled; the aggregator was not asked",
    certificate_void: "the certificate does not hold for this answer, so it is withheld",
    step_failed: "a further step failed, and nothing guesses in its place",
    drifted: "confidences no longer look like those that were certified",
    cap_reached: "the cap of this request left no room for a dearer method",
  };
  const DECISIONS = { answered: "Answered", escalated: "Escalated", abstained: "Abstained" };
  const HANDED_ON = { answered: "answered", escalated: "handed on", abstained: "no answer" };
  let models = {}, run = null, leave = null;

  // --- elements ---------------------------------------------------------------------------------------------
  function element(tag, className, ...children) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...children);
    return made;
  }
  const typeset = () => $("typeset").checked;
  // An answer read out of a sample is bare LaTeX as often as words.
  const shownAnswer = (answer, style = "\\displaystyle") => (/\\[a-zA-Z]|[\^_]\{/.test(answer) && !answer.includes("$") ? `\\(${style} ${answer}\\)` : answer);
  // A box that stands outside of mathematics is set all the same.
  function withBoxes(text) {
    return mathematics.split(text).map((part) => part.source ?? boxed(part.text)).join("");
  }
  function boxed(text) {
    let made = "", from = 0;
    for (let at; (at = text.indexOf("\\boxed{", from)) >= 0;) {
      let depth = 1, end = at + 7;
      while (depth && end < text.length && end - at < 1000) { depth += { "{": 1, "}": -1 }[text[end]] ?? 0; end++; }
      if (depth) break;
      made += `${text.slice(from, at)}\\(${text.slice(at, end)}\\)`;
      from = end;
    }
    return made + text.slice(from);
  }
  const put = (host, text) => mathematics.put(host, typeset() ? withBoxes(text) : text, typeset());
  const percent = (share) => `${Math.round(share * 100)} %`;
  const shareOf = (share) => `${Number((share * 100).toFixed(2))} %`;
  const seconds = (value) => (value < 10 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`);
  const whole = (value) => value.toLocaleString("en");
  const plural = (count, one) => `${whole(count)} ${one}${count === 1 ? "" : "s"}`;

  // --- the server -------------------------------------------------------------------------------------------
  const headers = () => ({ "Content-Type": "application/json", ...($("key").value ? { Authorization: `Bearer ${$("key").value}` } : {}) });

  async function checked(response) {
    if (response.ok) return response;
    if (response.status === 401) {
      $("key-field").hidden = false;
      $("key").focus();
    }
    const body = await response.json().catch(() => null);
    throw new Error(body?.error?.message ?? `The server answered ${response.status}.`);
  }

  async function loadModels() {
    const { data } = await (await checked(await fetch("/v1/models", { headers: headers() }))).json();
    models = Object.fromEntries(data.map((one) => [one.id, one.sampleset]));
    $("model").replaceChildren(...data.map((one) => new Option(one.id, one.id)));
    showModel();
  }

  function showModel() {
    const model = models[$("model").value];
    if (!model) return;
    $("k").max = model.max_k;
    $("k").value = model.k;
    $("aggregator").replaceChildren(...model.aggregators.map((one) => new Option(one, one)));
    $("aggregator").value = model.aggregator;
    showWho();
  }

  function showWho() {
    const model = models[$("model").value];
    if (model) $("who").textContent = `${plural(Number($("k").value) || 1, "sample")} of ${model.upstreams.join(" and ")}, settled by ${$("aggregator").value}.`;
  }

  async function* events(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line.startsWith("data: {")) yield JSON.parse(line.slice(6));
    }
  }

  // --- one run ----------------------------------------------------------------------------------------------
  const fresh = (k, aggregator) => ({ k, aggregator, samples: new Map(), words: new Map(), colours: new Map(), candidates: [], retries: 0, handed: [], stage: "sampling", started: performance.now(), final: null, totals: null, reads: null, thought: "", wrote: "", text: "", error: null, at: null });

  function take(event) {
    if (event.event === "words") {
      for (const [index, text] of Object.entries(event.texts)) run.words.set(Number(index), (run.words.get(Number(index)) ?? "") + text);
      return drawSoon();
    }
    if (event.event === "sample") run.samples.set(event.index, event);
    else if (event.event === "vote") run.candidates = event.candidates;
    else if (event.event === "retry") { run.retries++; for (const index of event.indices ?? []) run.words.delete(index); }
    else if (event.event === "escalating") {
      // The next step draws anew.
      Object.assign(run, { k: event.k, samples: new Map(), words: new Map(), colours: new Map(), candidates: [], stage: "sampling" });
      run.handed.push(event);
    }
    else if (event.event === "aggregating") run.stage = `${event.aggregator} reads the samples`;
    else if (event.event === "read") { run.reads = event.prompts; run.wrote = event.text; }
    if (event.at !== undefined) run.at = event.at;
    draw();
  }

  // Words come faster than they need to be drawn.
  let frame = 0;
  function drawSoon() {
    frame ||= requestAnimationFrame(() => { frame = 0; if (run) draw("words"); });
  }

  function finish(choice, totals) {
    run.final = choice.sampleset;
    const { candidates, chosen } = choice.sampleset;
    run.candidates = candidates.map((one, place) => ({ ...one, chosen: place === chosen })).sort((a, b) => b.votes - a.votes || b.chosen - a.chosen);
    run.reason = choice.finish_reason;
    if (totals) run.totals = totals;
    draw();
  }

  async function ask() {
    const question = $("question").value.trim();
    if (!question) return $("question").focus();
    leave?.abort();
    const own = (leave = new AbortController());
    const mine = (run = fresh(Number($("k").value) || 1, $("aggregator").value));
    busy(true);
    history.replaceState(null, "", location.pathname);
    draw();
    const clock = setInterval(() => run === mine && draw("stage"), 200);
    try {
      const body = {
        model: $("model").value,
        messages: [{ role: "user", content: question }],
        stream: true,
        stream_options: { include_usage: true },
        sampleset: { k: mine.k, aggregator: mine.aggregator, progress: "words" },
      };
      const response = await checked(await fetch("/v1/chat/completions", { method: "POST", headers: headers(), body: JSON.stringify(body), signal: own.signal }));
      for await (const chunk of events(response)) {
        if (run !== mine) return;
        if (chunk.error) throw new Error(chunk.error.message);
        const [choice] = chunk.choices;
        if (!choice) Object.assign(mine, { totals: { ...chunk.sampleset, all: chunk.usage } });
        else if (choice.finish_reason) finish(choice);
        else if (chunk.sampleset) take(chunk.sampleset);
        else {
          mine.text += choice.delta.content ?? "";
          mine.thought += choice.delta.reasoning_content ?? "";
          drawSoon();
        }
      }
      if (!mine.final) throw new Error("The server ended the stream early.");
      mine.at = (performance.now() - mine.started) / 1000;
      if (mine.totals?.run) history.replaceState(null, "", `#run=${mine.totals.run}`);
    } catch (error) {
      mine.error = own.signal.aborted ? "Stopped. Everything in flight was cancelled." : error.message;
    } finally {
      clearInterval(clock);
      if (run === mine) { busy(false); draw(); }
    }
  }

  // A stored run, event by event: quickly, whatever time it took.
  async function replay(name) {
    let mine = null;
    try {
      const stored = await (await checked(await fetch(`/v1/runs/${encodeURIComponent(name)}`, { headers: headers() }))).json();
      const choice = stored.completion.choices[0], totals = stored.completion.sampleset;
      const content = stored.messages.at(-1).content;
      $("question").value = typeof content === "string" ? content : content.map((part) => part.text ?? `[${part.type}]`).join("\n");
      mine = run = fresh(totals.k, totals.aggregator);
      if (models[stored.completion.model]) { $("model").value = stored.completion.model; showModel(); $("k").value = totals.k; }
      const own = stored.events.filter((event) => event.choice === 0);
      const long = Math.max(...own.map((event) => event.at), .001), pace = Math.min(1, 3 / long);
      let before = 0;
      for (const event of own) {
        await new Promise((wake) => setTimeout(wake, matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : (event.at - before) * pace * 1000));
        if (run !== mine) return;
        before = event.at;
        take(event);
        if (event.event === "sample") {
          run.candidates = choice.sampleset.candidates.map((one) => ({ ...one, indices: one.indices.filter((index) => run.samples.has(index)) }))
            .filter((one) => one.indices.length).map((one) => ({ ...one, votes: one.indices.length })).sort((a, b) => b.votes - a.votes);
        }
      }
      mine.text = choice.message.content ?? "";
      finish(choice, { ...totals, all: stored.completion.usage });
    } catch (error) {
      if (!mine) mine = run = fresh(0, "");
      if (run === mine) { mine.error = error.message; draw(); }
    }
  }

  function busy(is) {
    $("stop").hidden = !is;
    $("send").disabled = is;
  }

  // --- drawing ----------------------------------------------------------------------------------------------
  // An answer keeps its colour while the vote goes on, whichever leads.
  function colour(place) {
    const { indices } = run.candidates[place], known = indices.find((index) => run.colours.has(index));
    const own = known === undefined ? new Set(run.colours.values()).size : run.colours.get(known);
    for (const index of indices) run.colours.set(index, own);
    return `c${Math.min(own, COLOURS)}`;
  }
  const placeOf = (index) => run.candidates.findIndex((one) => one.indices.includes(index));

  function draw(part) {
    $("fault").hidden = !run.error;
    $("fault").textContent = run.error ?? "";
    $("intro").hidden = true;
    $("run").hidden = run.k === 0 || (run.error !== null && run.samples.size === 0);
    drawStage();
    if (part === "stage") return;
    if (part === "words") { drawReads(); return drawSamples(); }
    drawVerdict();
    drawPromise();
    drawNumbers();
    drawVotes();
    drawReads();
    drawSamples();
  }

  function drawStage() {
    const back = [...run.samples.values()].filter((one) => !one.error).length;
    const failed = run.samples.size - back;
    const chosen = run.final && run.final.answer !== null ? run.candidates.find((one) => one.chosen) : null;
    const parts = [`${back} of ${run.k} samples are back`];
    if (run.final || run.error) parts[0] = chosen ? `${chosen.votes} of ${plural(back, "sample")} say so` : `${back} of ${run.k} samples`;
    if (failed) parts.push(`${failed} failed`);
    if (run.handed.length) parts.push(`step ${run.handed.length + 1}`);
    if (run.retries) parts.push(`${run.retries} tried again`);
    if (!run.final && !run.error) parts.push(run.stage === "sampling" ? seconds((performance.now() - run.started) / 1000) : run.stage);
    if (run.final?.draws.stopped) parts.push(`stopped early by ${run.final.draws.stopped}`);
    $("stage").textContent = parts.join(" · ");
  }

  function drawVerdict() {
    const final = $("final"), leading = run.candidates[0];
    const answer = run.final ? run.final.answer ?? run.text : leading?.answer ?? "";
    final.className = `final${run.final ? "" : " pending"}${answer.length > LONGEST_ANSWER ? " long" : ""}`;
    if (!run.final && !leading) final.textContent = run.error ? "No answer" : "…";
    else put(final, run.final?.answer === null ? answer : shownAnswer(answer, ""));
    $("answer-title").textContent = run.final ? "Answer" : leading ? "Leading so far" : "Answer";
    const bar = $("bar");
    bar.hidden = run.candidates.length === 0;
    const voted = run.candidates.reduce((sum, one) => sum + one.votes, 0);
    bar.replaceChildren(...run.candidates.map((one, place) => slice(one.votes, colour(place))), slice(Math.max(0, run.k - voted), "waiting"));
    bar.setAttribute("aria-label", run.candidates.map((one) => `${one.answer}: ${plural(one.votes, "vote")}`).join(", "));
    const solution = run.final?.answer != null && run.text.length > LONGEST_ANSWER ? run.text : "";
    $("solution").hidden = !solution;
    if (solution) put($("solution-text"), solution);
    const flags = (run.final?.flags ?? []).map((flag) => FLAGS[flag] ?? flag.replaceAll("_", " "));
    $("flags").hidden = flags.length === 0;
    $("flags").textContent = flags.length ? `Note: ${flags.join("; ")}.` : "";
  }

  // What became of the answer under a certificate, by which step, and how a method that chooses came to it.
  function drawPromise() {
    const promise = run.final?.promise, told = run.final?.explanation;
    const before = run.final ? null : run.handed.at(-1);
    $("promise").hidden = !(promise || before);
    const decision = promise?.decision ?? "escalated";
    $("decision").textContent = promise ? DECISIONS[decision] : "Asking further";
    $("decision").className = `decision ${decision}`;
    $("why").textContent = promise ? `${promise.why}.` : before ? `${before.why}. Next: ${before.name}.` : "";
    const bound = promise?.risk === undefined ? "" : `At most ${shareOf(promise.risk)} of the answers given are wrong, with ${shareOf(promise.certainty)} confidence, by ${plural(promise.labels, "labelled question")}.`;
    const none = promise && promise.certified === false ? "This step has no certificate: nothing is promised of its errors." : "";
    $("terms").textContent = promise?.decision === "abstained" ? "" : bound || none;
    $("taken").replaceChildren(...(promise?.steps ?? []).map((step) => element("li", "", `${step.name}: ${HANDED_ON[step.decision]}, ${step.why}.`)));
    const classes = (rows) => rows.map((row) => `${row.answer} (${plural(row.votes, "vote")})`).join(", ");
    const lines = told ? [
      told.method && `Method: ${told.method} (${told.aggregator}), ${told.why}.`,
      told.agreed?.length && `Agreed: ${classes(told.agreed)}.`,
      told.disagreed?.length && `Disagreed: ${classes(told.disagreed)}.`,
    ].filter(Boolean) : [];
    $("explanation").hidden = lines.length === 0;
    $("explanation").replaceChildren(...lines.map((line) => element("p", "", line)));
  }

  function slice(votes, name) {
    const made = element("i", name);
    made.style.setProperty("--n", votes);
    return made;
  }

  function drawNumbers() {
    const rows = [];
    if (run.final) {
      if (run.final.confidence !== null) rows.push(["Confidence", percent(run.final.confidence)]);
      const agreeing = run.candidates.find((one) => one.chosen)?.votes ?? 0;
      if (run.final.answer !== null) rows.push(["Agreement", `${agreeing} of ${run.samples.size}`]);
      rows.push(["Aggregator", run.totals?.aggregator ?? run.aggregator]);
    }
    if (run.totals) {
      const { sampling, aggregation } = run.totals.usage, sum = (one) => one.prompt_tokens + one.completion_tokens;
      rows.push(["Tokens", whole(run.totals.all.total_tokens)]);
      if (aggregation.calls) rows.push(["Aggregator's share", whole(sum(aggregation))]);
      if (sampling.uncounted + aggregation.uncounted) rows.push(["Calls not counted", whole(sampling.uncounted + aggregation.uncounted)]);
      const cost = run.totals.cost;
      if (cost) rows.push(["Cost", cost.total === null ? "no price" : `${cost.total.toPrecision(2)} ${cost.currency}`]);
    }
    if (run.final && run.at !== null) rows.push(["Time", seconds(run.at)]);
    $("numbers").replaceChildren(...rows.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", value)]));
    if (run.totals?.run) {
      const link = element("a", "", "link to this run");
      link.href = `#run=${run.totals.run}`;
      $("numbers").append(element("dt", "", "Replay"), element("dd", "", link));
    }
  }

  function drawVotes() {
    $("votes").replaceChildren(...run.candidates.map((one, place) => {
      const said = element("span", "said");
      said.title = one.answer;
      put(said, shownAnswer(one.answer));
      const dots = element("span", "dots", ...one.indices.map((index) => {
        const link = element("a", "", String(index + 1));
        link.href = `#sample-${index + 1}`;
        link.setAttribute("aria-label", `sample ${index + 1}`);
        link.addEventListener("click", (event) => { event.preventDefault(); show(index); });
        return link;
      }));
      const believed = one.probability === undefined ? "" : ` · ${percent(one.probability)}`;
      const tally = element("span", "tally", `${plural(one.votes, "vote")}${believed}${one.chosen ? " · chosen" : ""}`);
      return element("li", `vote ${colour(place)}${one.chosen ? " chosen" : ""}`, said, tally, dots);
    }));
  }

  function show(index) {
    const card = $("samples").children[index];
    card?.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    card?.focus({ preventScroll: true });
  }

  function drawReads() {
    // What was thought or written is told while it comes; the prompt once it has been read.
    const live = run.final ? "" : run.thought || run.text;
    $("reads").hidden = !(run.reads || live || run.stage !== "sampling");
    if ($("reads").hidden) return;
    const characters = run.reads?.reduce((sum, one) => sum + one.length, 0) ?? 0;
    $("reads-caption").textContent = run.reads ? `${plural(run.reads.length, "prompt")} of ${whole(characters)} characters, the samples in an order of its own.` : `${run.stage}.`;
    $("prompt").hidden = !run.reads;
    if (run.reads && $("reads-text").dataset.shown !== String(characters)) {
      $("reads-text").dataset.shown = String(characters);
      $("reads-text").textContent = run.reads.join("\n\n———\n\n");
    }
    const wrote = run.wrote.replace(/<\/?(?:think|answer)>/g, "").trim() || live;
    $("wrote").hidden = !wrote;
    if (wrote) { $("wrote").open = $("wrote").open || Boolean(live); put($("wrote-text"), wrote); }
  }

  function drawSamples() {
    const list = $("samples");
    while (list.children.length > run.k) list.lastChild.remove();
    for (let index = 0; index < run.k; index++) {
      const one = run.samples.get(index), place = placeOf(index);
      const state = JSON.stringify([run.started, one?.seconds, place >= 0 && colour(place), typeset(), run.candidates[place]?.answer, run.final !== null]);
      const old = list.children[index];
      if (old?.dataset.state === state) {
        if (!one) speak(old, index);
        continue;
      }
      const card = sampleCard(index, one, place);
      card.dataset.state = state;
      if (old?.classList.contains("open")) card.classList.add("open");
      if (old) old.replaceWith(card);
      else list.append(card);
      if (!one) speak(card, index);
      if (one) folds.add(card, [card.querySelector(".words")]);
    }
  }

  // What a sample has said so far: plain, and its end in sight.
  function speak(card, index) {
    const said = run.words.get(index), words = card.querySelector(".words");
    card.classList.toggle("speaking", Boolean(said) && !run.final && !run.error);
    if (!said || words.textContent === said) return;
    words.textContent = said;
    words.scrollTop = words.scrollHeight;
  }

  function sampleCard(index, one, place) {
    const who = element("span", "who", `Sample ${index + 1}`), said = element("span", "said"), spent = element("span", "spent");
    const words = element("div", "words"), card = element("li", "sample", element("header", "", who, said, spent), words);
    card.id = `sample-${index + 1}`;
    card.tabIndex = -1;
    if (!one) {
      const over = run.final || run.error;
      card.classList.add(over ? "failed" : "waiting");
      words.textContent = over ? "Not drawn: it was not needed, or cancelled." : "Sampling";
    } else if (one.error) {
      card.classList.add("failed");
      words.textContent = `Failed: ${one.error}`;
    } else {
      if (place >= 0) {
        card.classList.add(colour(place));
        put(said, shownAnswer(run.candidates[place].answer, "\\textstyle"));
        said.title = run.candidates[place].answer;
      } else if (run.final) { said.textContent = "no answer"; said.className = "said none"; }
      spent.textContent = [one.finish_reason === "length" ? "cut off" : "", one.completion_tokens === null ? "" : `${whole(one.completion_tokens)} tokens`, seconds(one.seconds)].filter(Boolean).join(" · ");
      spent.title = `${one.model}, seed ${one.seed}`;
      const calls = (one.tool_calls ?? []).map((call) => `${call.function?.name}(${call.function?.arguments})`);
      put(words, [one.text, ...calls].filter(Boolean).join("\n") || "(empty)");
    }
    return card;
  }

  // --- start ------------------------------------------------------------------------------------------------
  function failed(error) {
    $("fault").hidden = false;
    $("fault").textContent = error.message;
  }
  for (const [name, text] of PRESETS) {
    const button = element("button", "", name);
    button.type = "button";
    button.addEventListener("click", () => { $("question").value = text; $("question").focus(); });
    $("presets").append(button);
  }
  $("ask").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  $("question").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !$("send").disabled) { event.preventDefault(); ask(); }
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") leave?.abort(); });
  $("stop").addEventListener("click", () => leave?.abort());
  $("model").addEventListener("change", showModel);
  $("choices").addEventListener("input", showWho);
  $("base").textContent = `${location.origin}/v1`;
  $("key").addEventListener("change", () => loadModels().then(() => { $("fault").hidden = true; }, failed));
  $("typeset").addEventListener("change", () => run && draw());
  const named = () => /^#run=([\w-]+)$/.exec(location.hash)?.[1];
  addEventListener("hashchange", () => { if (named() && named() !== run?.totals?.run) replay(named()); });
  $("numbers").addEventListener("click", (event) => {
    if (event.target.hash && named()) { event.preventDefault(); replay(named()); }
  });
  loadModels().catch(failed).finally(() => named() && replay(named()));
})();
