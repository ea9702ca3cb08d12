"use strict";
// Cards that are cut at a height, each with a button that shows the whole. Whether a card is cut is measured, again
// whenever its size changes: mathematics is set late, fonts load, a phone is turned.
const folds = (() => {
  const cards = new WeakMap();
  const isCut = (box) => box.scrollHeight > box.clientHeight + 1;
  function measure(card) {
    const { boxes, button } = cards.get(card);
    const opened = card.classList.contains("open");
    if (!opened) card.classList.toggle("long", boxes.some(isCut));
    button.hidden = !opened && !card.classList.contains("long");
  }
  const observer = new ResizeObserver((entries) => {
    for (const card of new Set(entries.map((entry) => entry.target.closest(".foldable")))) if (card) measure(card);
  });

  // `boxes` are the parts of the card that its style cuts while it is not `open`.
  function add(card, boxes) {
    const button = document.createElement("button");
    button.type = "button";
    button.hidden = true;
    const label = () => {
      const opened = card.classList.contains("open");
      button.textContent = opened ? "Show less" : "Show all";
      button.setAttribute("aria-expanded", String(opened));
    };
    button.addEventListener("click", () => {
      card.classList.toggle("open");
      label();
      measure(card);
    });
    card.classList.add("foldable");
    card.append(button);
    cards.set(card, { boxes, button });
    label();
    for (const box of boxes) observer.observe(box);
  }
  return { add };
})();
