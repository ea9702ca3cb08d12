"use strict";
// Text → text nodes, with delimited mathematics set by KaTeX. The text is untrusted: KaTeX trusts no command
// that links, loads or names, expands few macros, and gets short formulas only.
const mathematics = (() => {
  const LONGEST_FORMULA = 1500, LONGEST_TEXT = 15000, MOST_FORMULAS = 400;
  const DEEPEST = 120, MOST_ELEMENTS = 6000; // of one formula: a browser may break down over deeper ones
  const PAIRS = [["$$", "$$", true], ["\\[", "\\]", true], ["\\(", "\\)", false], ["$", "$", false]];

  // A single dollar is as often money. As in Pandoc, an opening one has no space after it, a closing one
  // no space before it and no digit after it, and no blank line stands between them.
  function inlineEnd(text, from) {
    if (/\s|^$/.test(text.charAt(from))) return -1;
    for (let at = from; at < text.length && at - from <= LONGEST_FORMULA; at++) {
      const letter = text[at];
      if (letter === "\\") at++;
      else if (letter === "\n" && text[at + 1] === "\n") return -1;
      else if (letter === "$") return /\s/.test(text[at - 1]) || /\d/.test(text.charAt(at + 1)) ? -1 : at;
    }
    return -1;
  }

  // Parts of a text: { text } or { formula, display, source }.
  function split(text) {
    const parts = [];
    let plain = 0, at = 0, formulas = 0;
    while (at < text.length && formulas < MOST_FORMULAS) {
      const pair = PAIRS.find(([open]) => text.startsWith(open, at));
      if (!pair) { at += text[at] === "\\" ? 2 : 1; continue; }
      const [open, close, display] = pair, from = at + open.length;
      const end = open === "$" ? inlineEnd(text, from) : text.indexOf(close, from);
      if (end <= from || end - from > LONGEST_FORMULA) { at = from; continue; }
      if (plain < at) parts.push({ text: text.slice(plain, at) });
      plain = at = end + close.length;
      parts.push({ formula: text.slice(from, end), display, source: text.slice(from - open.length, at) });
      formulas++;
    }
    if (plain < text.length) parts.push({ text: text.slice(plain) });
    return parts;
  }

  // Nothing is laid out before it stands in the page, so this is in time.
  function tooLarge(host) {
    const elements = host.getElementsByTagName("*");
    if (elements.length > MOST_ELEMENTS) return true;
    for (const element of elements) {
      let depth = 0;
      for (let above = element; above !== host; above = above.parentNode) if (++depth > DEEPEST) return true;
    }
    return false;
  }

  function formula({ formula: source, display, source: whole }) {
    const host = document.createElement("span");
    host.title = whole;
    try {
      // Macros are made anew for each formula, so that none can redefine a command for the next.
      katex.render(source, host, {
        displayMode: display, trust: false, throwOnError: true, strict: "ignore", maxExpand: 100, maxSize: 10,
        globalGroup: false, macros: {},
      });
    } catch { // not mathematics, or too deep
      host.replaceChildren(whole);
    }
    if (tooLarge(host)) host.replaceChildren(whole);
    return host;
  }

  // Put the text into the element, its mathematics set if wanted.
  function put(element, text, wanted) {
    const parts = wanted && text.length <= LONGEST_TEXT ? split(text) : [{ text }];
    // A formula on lines of its own brings its own space.
    const trimmed = parts.map(({ text: plain, ...rest }, place) => {
      if (plain === undefined) return rest;
      const after = parts[place - 1]?.display ? plain.replace(/^[ \n]+/, "") : plain;
      return { text: parts[place + 1]?.display ? after.replace(/[ \n]+$/, "") : after };
    });
    element.replaceChildren(...trimmed.map((part) => (part.formula === undefined ? part.text : formula(part))));
  }
  return { split, put };
})();
