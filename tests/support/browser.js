// Asked of a page by browser.py: which texts cannot be read, are cut, or are squeezed.
({
faint: () => {
  const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], below) => [r, g, b].map((value, place) => value * a + below[place] * (1 - a));
  const light = (colour) => colour.map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  function paper(element) {
    const layers = [];
    for (let above = element; above; above = above.parentElement) layers.push(numbers(getComputedStyle(above).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  }
  const faint = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const element = node.parentElement, style = getComputedStyle(element);
    if (!node.data.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
    if (element.closest(".hidden, .skip, .katex-mathml, :disabled, noscript, script, title, option")) continue;
    const below = paper(element), ink = over(numbers(element.closest("svg") ? style.fill : style.color), below);
    const [low, high] = [light(below), light(ink)].sort((one, other) => one - other);
    const ratio = (high + 0.05) / (low + 0.05), size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${ratio.toFixed(2)} ${element.className.baseVal ?? element.className}: ${node.data.trim().slice(0, 40)}`);
  }
  return faint;
},
cut: (selector) => [...document.querySelectorAll(selector)]
  .filter((box) => box.checkVisibility() && box.scrollHeight > box.clientHeight + 1)
  .filter((box) => !["auto", "scroll"].includes(getComputedStyle(box).overflowY))
  .map((box) => [box.closest(".foldable")?.querySelector(":scope > button:not([hidden])")?.textContent ?? "no button", box.textContent.slice(0, 40)]),
narrow: (selector) => [...document.querySelectorAll(selector)]
  .filter((box) => box.checkVisibility() && !box.closest(".hidden") && box.textContent.trim().length > 3)
  .filter((box) => box.clientWidth < Math.min(4, box.textContent.trim().length) * 0.5 * parseFloat(getComputedStyle(box).fontSize))
  .map((box) => box.textContent.slice(0, 40)),
})
