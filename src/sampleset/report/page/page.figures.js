"use strict";
// The pictures: SVG drawn from the report's numbers. A method keeps its colour, mark and dashes everywhere.
const figures = (() => {
  const DASHES = ["", "", "7 3", "", "2 3", "7 3 2 3", "", "4 2"];
  const COLOURS = 8;
  const problems = (weight) => `${Math.round(weight * 10) / 10} ${weight === 1 ? "problem" : "problems"}`;
  const FEW = 10; // problems below which a share is mostly chance

  function draw(tag, attributes, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes || {})) if (value !== undefined && value !== "") element.setAttribute(name, value);
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  }
  const percent = (share) => (share === null || share === undefined ? "–" : (100 * share).toFixed(1));
  const said = (text) => draw("title", {}, text);
  const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
  // Wilson's 95 % interval of a share of `count` problems.
  function interval(share, count) {
    const z = 1.959964, inverse = 1 / (1 + (z * z) / count), centre = (share + (z * z) / (2 * count)) * inverse;
    const half = z * inverse * Math.sqrt((share * (1 - share)) / count + (z * z) / (4 * count * count));
    return { low: Math.max(0, centre - half), high: Math.min(1, centre + half) };
  }
  const colour = (number) => `m${number === 0 ? 0 : 1 + ((number - 1) % (COLOURS - 1))}`;

  // A filled mark of about 10 pixels: square, circle, triangle, diamond, ...
  function mark(number, x, y, size = 5, open = false) {
    const kind = { class: open ? "dot open" : "dot" };
    const shape = (points) => draw("path", { ...kind, d: `M${points.map(([dx, dy]) => `${x + dx * size},${y + dy * size}`).join("L")}Z` });
    switch (number % 6) {
      case 0: return draw("rect", { ...kind, x: x - size, y: y - size, width: 2 * size, height: 2 * size });
      case 1: return draw("circle", { ...kind, cx: x, cy: y, r: size * 1.1 });
      case 2: return shape([[0, -1.3], [1.2, .9], [-1.2, .9]]);
      case 3: return shape([[0, -1.4], [1.4, 0], [0, 1.4], [-1.4, 0]]);
      case 4: return shape([[0, 1.3], [1.2, -.9], [-1.2, -.9]]);
      default: return shape([[-.4, -1.2], [.4, -1.2], [.4, -.4], [1.2, -.4], [1.2, .4], [.4, .4], [.4, 1.2], [-.4, 1.2], [-.4, .4], [-1.2, .4], [-1.2, -.4], [-.4, -.4]]);
    }
  }

  function sample(number, wide = true) {
    const line = wide ? draw("line", { class: "line", x1: 0, x2: 26, y1: 7, y2: 7, "stroke-dasharray": DASHES[number % 8] }) : null;
    return draw("svg", { class: colour(number), viewBox: wide ? "0 0 26 14" : "0 0 14 14", "aria-hidden": "true" }, line, mark(number, wide ? 13 : 7, 7, 4.2));
  }

  function empty(host, text) {
    const told = document.createElement("p");
    told.className = "none";
    told.append(text);
    host.replaceChildren(told);
  }

  function ticks(low, high, most) {
    const step = [1, 2, 5, 10, 20, 25, 50, 100].map((size) => size / 100).find((size) => (high - low) / size <= most) || 1;
    const from = Math.floor(low / step + 1e-9), to = Math.ceil(high / step - 1e-9);
    return Array.from({ length: Math.max(2, to - from + 1) }, (_, place) => (from + place) * step);
  }

  // A frame with percent on the y axis. `x` places are given by `across(value)`, their labels by `marks`.
  function plot(host, { label, lows, highs, marks, across, xName, yName, room = 0, height = 330, fixed }) {
    const width = Math.max(300, host.clientWidth);
    const left = 44, right = width - 12 - room, top = 24, foot = height - 42;
    const levels = fixed || ticks(Math.max(0, Math.min(...lows)), Math.min(1, Math.max(...highs)), 7);
    const low = levels[0], high = levels[levels.length - 1];
    const y = (share) => foot - ((share - low) / (high - low)) * (foot - top);
    const x = (value) => left + 14 + across(value) * (right - left - 28);
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
    for (const level of levels) {
      svg.append(draw("line", { class: "grid", x1: left, x2: right, y1: y(level), y2: y(level) }));
      svg.append(draw("text", { class: "soft", x: left - 8, y: y(level) + 4, "text-anchor": "end" }, `${Math.round(100 * level)}`));
    }
    svg.append(draw("line", { class: "axis", x1: left, x2: right, y1: foot, y2: foot }));
    let free = -Infinity;
    for (const { value, text } of marks) {
      const place = x(value), half = text.length * 3.4 + 4;
      svg.append(draw("line", { class: "axis", x1: place, x2: place, y1: foot, y2: foot + 4 }));
      if (place - half < free) continue;
      svg.append(draw("text", { class: "soft", x: place, y: foot + 18, "text-anchor": "middle" }, text));
      free = place + half;
    }
    svg.append(draw("text", { class: "soft", x: (left + right) / 2, y: height - 5, "text-anchor": "middle" }, xName));
    svg.append(draw("text", { class: "soft", x: 0, y: 11 }, yName));
    host.replaceChildren(svg);
    return { svg, x, y, left, right, top, foot, width };
  }

  const path = (points) => points.map(([x, y], place) => `${place ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");
  const logScale = (low, high) => (value) => (high > low ? Math.log(value / low) / Math.log(high / low) : 0.5);

  // A label in lines of at most TAG letters, broken after `:`, `=`, `,` and `_` where it can be.
  const TAG = 22;
  function tagLines(text) {
    const lines = [""];
    for (const part of text.split(/(?<=[:=,_])/).flatMap((piece) => piece.match(new RegExp(`.{1,${TAG}}`, "gu")) || [])) {
      if (lines[lines.length - 1].length + part.length <= TAG) lines[lines.length - 1] += part;
      else lines.push(part);
    }
    return lines;
  }
  // Labels at the right end of curves, moved apart so that none covers another. `y` is that of the first line.
  function tags(area, ends) {
    const step = 14, gap = 2;
    const sorted = ends.map((end) => ({ ...end, lines: tagLines(end.text) })).sort((a, b) => a.y - b.y);
    const tall = (end) => end.lines.length * step + gap;
    sorted.forEach((end, place) => { if (place) end.y = Math.max(end.y, sorted[place - 1].y + tall(sorted[place - 1])); });
    for (let place = sorted.length - 1, roof = area.foot + step; place >= 0; place--) {
      sorted[place].y = Math.min(sorted[place].y, roof - tall(sorted[place]));
      roof = sorted[place].y;
    }
    for (const end of sorted) {
      const lines = end.lines.map((line, number) => draw("tspan", { x: end.x, dy: number ? step : 0 }, line));
      area.svg.append(draw("text", { class: `${end.kind} halo`, x: end.x, y: end.y + 4 }, ...lines, said(end.text)));
    }
  }
  const tagRoom = (names, width) => (width < 420 ? 0 : 16 + 6.9 * Math.max(...names.flatMap(tagLines).map((line) => line.length)));

  // One entry per method shown: its results at every k of the file.
  function series(file, methods) {
    return methods.map(({ label, number }) => ({
      label, number,
      at: file.points.flatMap((point) => {
        const method = point.methods.find((one) => one.label === label);
        return method ? [{ point, method }] : [];
      }),
    })).filter((one) => one.at.length);
  }

  function curves(host, file, methods, vote, chosen) {
    const shown = series(file, methods);
    const voteShown = methods.some((one) => one.label === vote);
    const largest = Math.max(...file.points.map((point) => point.k), 1);
    const curve = file.curve.filter((one) => one.k <= largest);
    const ks = [...new Set([...curve.map((one) => one.k), ...file.points.map((point) => point.k)])].sort((a, b) => a - b);
    const lows = [...shown.flatMap((one) => one.at.map(({ method }) => method.interval.low)), ...curve.flatMap((one) => [one.maj_at_k, ...(voteShown ? [one.interval.low] : [])])];
    const highs = [...shown.flatMap((one) => one.at.map(({ method }) => method.interval.high)), ...curve.flatMap((one) => [one.pass_at_k, ...(voteShown ? [one.interval.high] : [])]), ...file.points.map((point) => point.oracle)];
    const names = [...shown.map((one) => one.label), "oracle"];
    const room = tagRoom(names, host.clientWidth);
    const area = plot(host, {
      label: `Accuracy by k. ${shown.map((one) => `${one.label}: ${one.at.map(({ point, method }) => `${percent(method.accuracy)} % at ${point.k}`).join(", ")}`).join("; ")}.`,
      lows, highs, room, xName: "samples read, k", yName: "right, %",
      marks: ks.map((k) => ({ value: k, text: `${k}` })), across: ks.length > 1 ? logScale(ks[0], ks[ks.length - 1]) : () => 0.5,
    });
    const { svg, x, y } = area;
    if (file.points.length > 1) svg.append(draw("rect", { class: "now", x: x(chosen) - 14, y: area.top, width: 28, height: area.foot - area.top }));
    const oracle = curve.length > 1 ? curve.map((one) => [x(one.k), y(one.pass_at_k)]) : file.points.map((point) => [x(point.k), y(point.oracle)]);
    svg.append(draw("path", { class: "bound", d: path(oracle) }));
    if (oracle.length === 1) svg.append(draw("line", { class: "bound", x1: area.left, x2: area.right, y1: oracle[0][1], y2: oracle[0][1] }));
    if (voteShown && curve.length > 1) {
      const band = [...curve.map((one) => [x(one.k), y(one.interval.high)]), ...[...curve].reverse().map((one) => [x(one.k), y(one.interval.low)])];
      svg.append(draw("path", { class: "band", d: `${path(band)}Z` }));
    }
    const ends = [{ text: "oracle", kind: "soft", x: area.right + 4, y: oracle[oracle.length - 1][1] }];
    const step = Math.min(7, 30 / Math.max(1, shown.length));
    // Of many k that stand close together only some bear marks and intervals, the largest and the chosen one always.
    const roomy = new Set([chosen]);
    let right = Infinity;
    for (const { k } of [...file.points].reverse()) {
      if (right - x(k) < step * shown.length + 8) continue;
      if (k === chosen || Math.abs(x(k) - x(chosen)) >= step * shown.length + 8) { roomy.add(k); right = x(k); }
    }
    shown.forEach((one, place) => {
      const group = draw("g", { class: colour(one.number) });
      // Methods at the same k stand side by side, so that no interval hides another.
      const aside = (place - (shown.length - 1) / 2) * step;
      const isVote = one.label === vote && curve.length > 1;
      const line = isVote ? curve.map((at) => [x(at.k), y(at.maj_at_k)]) : one.at.map(({ point, method }) => [x(point.k) + aside, y(method.accuracy)]);
      group.append(draw("path", { class: "line", d: path(line), "stroke-dasharray": DASHES[one.number % 8] }));
      for (const { point, method } of one.at) {
        const at = x(point.k) + aside, marked = roomy.has(point.k);
        if (marked) group.append(draw("line", { class: "whisker", x1: at, x2: at, y1: y(method.interval.low), y2: y(method.interval.high) }));
        const dot = mark(one.number, at, y(method.accuracy), marked ? 4.2 : 1.6);
        dot.append(said(`${one.label}, k = ${point.k}: ${percent(method.accuracy)} % (${percent(method.interval.low)}–${percent(method.interval.high)})`));
        group.append(dot);
      }
      svg.append(group);
      ends.push({ text: one.label, kind: `tag ${colour(one.number)}`, x: area.right + 4, y: line[line.length - 1][1] });
    });
    if (room) tags(area, ends);
  }

  function costs(host, file, methods, vote, chosen) {
    const total = (use) => use.prompt + use.completion;
    const spent = ({ point, method }) => total(point.sampling) + total(method.usage);
    const shown = series(file, methods).map((one) => ({ ...one, at: one.at.filter((at) => spent(at) > 0 && total(at.point.sampling) > 0) })).filter((one) => one.at.length);
    if (!shown.length) return empty(host, "The tokens of the samples are not recorded.");
    const last = file.points[file.points.length - 1], perSample = total(last.sampling) / last.k;
    const now = file.points.find((point) => point.k === chosen);
    const matched = now ? now.methods.filter((method) => method.matched && shown.some((one) => one.label === method.label)) : [];
    const reach = Math.max(last.k, ...matched.map((method) => method.matched.k));
    const curve = methods.some((one) => one.label === vote) ? file.curve.filter((one) => one.k <= reach && one.k >= file.points[0].k) : [];
    const xs = [...shown.flatMap((one) => one.at.map(spent)), ...curve.map((one) => one.k * perSample), ...matched.map((method) => method.matched.k * perSample)];
    const low = Math.min(...xs) / 1.08, high = Math.max(...xs) * 1.08;
    const shares = [...shown.flatMap((one) => one.at.map(({ method }) => method.accuracy)), ...curve.map((one) => one.maj_at_k)];
    const digits = high / low > 8 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
    const marks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) for (const digit of digits) marks.push(Math.round(digit * 10 ** power));
    const room = tagRoom(shown.map((one) => one.label), host.clientWidth);
    const area = plot(host, {
      label: `Accuracy against tokens. ${shown.map((one) => `${one.label}: ${one.at.map((at) => `${percent(at.method.accuracy)} % for ${Math.round(spent(at))} tokens at k ${at.point.k}`).join(", ")}`).join("; ")}.`,
      lows: [Math.min(...shares) - 0.01], highs: [Math.max(...shares) + 0.01], room, xName: "tokens per question, log scale", yName: "right, %",
      marks: marks.filter((value) => value >= low && value <= high).map((value) => ({ value, text: value >= 1000 ? `${value / 1000}k` : `${value}` })),
      across: logScale(low, high),
    });
    const { svg, x, y } = area, ends = [];
    if (curve.length > 1) svg.append(draw("path", { class: "line m0", d: path(curve.map((one) => [x(one.k * perSample), y(one.maj_at_k)])) }));
    for (const one of shown) {
      const group = draw("g", { class: colour(one.number) });
      const line = one.at.map((at) => [x(spent(at)), y(at.method.accuracy)]);
      if (one.label !== vote || curve.length < 2) group.append(draw("path", { class: "line", d: path(line), "stroke-dasharray": DASHES[one.number % 8] }));
      let last = -Infinity;
      for (const at of one.at) {
        const { method, point } = at;
        if (method.matched && point.k === chosen) {
          const place = [x(method.matched.k * perSample), y(method.matched.accuracy)];
          const square = mark(0, ...place, 4.2, true);
          square.append(said(`vote at the tokens of ${one.label}: k = ${method.matched.k}, ${percent(method.matched.accuracy)} %`));
          group.append(draw("path", { class: "thin", d: path([[x(spent(at)), y(method.accuracy)], place]) }), square);
        }
        const roomy = Math.abs(x(spent(at)) - last) >= 12 || at === one.at[one.at.length - 1];
        if (roomy) last = x(spent(at));
        const dot = mark(one.number, x(spent(at)), y(method.accuracy), roomy ? 4.5 : 1.6);
        dot.append(said(`${one.label}, k = ${point.k}: ${percent(method.accuracy)} %, ${Math.round(spent(at)).toLocaleString("en")} tokens`));
        group.append(dot);
        if (at === one.at[one.at.length - 1] || at === one.at[0]) {
          group.append(draw("text", { class: "soft halo", x: x(spent(at)), y: y(method.accuracy) - 9, "text-anchor": "middle" }, `${point.k}`));
        }
      }
      svg.append(group);
      const end = line[line.length - 1];
      ends.push({ text: one.label, kind: `tag ${colour(one.number)}`, x: area.right + 4, y: end[1] });
    }
    if (room) tags(area, ends);
  }

  // Rows of bars: groups one below the other, in each a bar per method.
  function bars(host, groups, label) {
    const width = Math.max(300, host.clientWidth), thick = groups.length * (groups[0]?.bars.length || 1) > 40 ? 9 : 15;
    const longest = Math.max(...groups.map((group) => Math.max(group.name.length, group.size.length)), 4);
    const gutter = Math.min(width * 0.36, 12 + 6.6 * longest), right = width - 46;
    let y = 22;
    const svg = draw("svg", { role: "img", "aria-label": label });
    const x = (share) => gutter + share * (right - gutter);
    const foot = y + groups.reduce((sum, group) => sum + Math.max(34, group.bars.length * (thick + 3)) + 14, 0);
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      svg.append(draw("line", { class: share ? "grid" : "axis", x1: x(share), x2: x(share), y1: y - 4, y2: foot - 8 }));
      svg.append(draw("text", { class: "soft", x: x(share), y: 11, "text-anchor": "middle" }, `${100 * share}${share === 1 ? " %" : ""}`));
    }
    for (const group of groups) {
      svg.append(draw("text", { x: 0, y: y + 12 }, cut(group.name, Math.floor(gutter / 6.4)), said(group.name)));
      svg.append(draw("text", { class: "soft", x: 0, y: y + 28 }, group.size));
      if (group.bound !== undefined) svg.append(draw("line", { class: "bound", x1: x(group.bound), x2: x(group.bound), y1: y - 2, y2: y + group.bars.length * (thick + 3) }));
      group.bars.forEach((bar, place) => {
        const top = y + place * (thick + 3), share = bar.share ?? 0;
        const one = draw("g", { class: colour(bar.number) }, said(`${group.name}, ${bar.label}: ${percent(bar.share)} % ${bar.size || group.size}`));
        if ((bar.weight ?? group.weight ?? FEW) < FEW) one.classList.add("few");
        one.append(draw("rect", { class: "block", x: x(0), y: top, width: Math.max(1, share * (right - gutter)), height: thick }));
        if (thick > 12) one.append(mark(bar.number, x(share), top + thick / 2, 3.6));
        one.append(draw("text", { class: "soft halo", x: x(share) + 8, y: top + thick / 2 + 4 }, bar.share === null || bar.share === undefined ? "none" : percent(bar.share)));
        svg.append(one);
      });
      y += Math.max(34, group.bars.length * (thick + 3)) + 14;
    }
    svg.setAttribute("viewBox", `0 0 ${width} ${y}`);
    svg.setAttribute("height", y);
    host.replaceChildren(svg);
  }

  function recovery(host, point, methods, vote) {
    const shown = methods.flatMap(({ label, number }) => point.methods.filter((method) => method.label === label && label !== vote).map((method) => ({ method, number })));
    if (!shown.length) return empty(host, "Only the vote is shown, and it is what the others are compared with.");
    const kinds = [["minority_recovery", "Minority recovery"], ["all_wrong_recovery", "All-wrong recovery"], ["harm", "Harm"]];
    const groups = kinds.map(([field, name]) => ({
      name, size: `of ${Math.round(shown[0].method[field].weight * 10) / 10}`,
      bars: shown.map(({ method, number }) => ({ number, label: method.label, share: method[field].rate, weight: method[field].weight, size: `of ${Math.round(method[field].weight * 10) / 10}` })),
    }));
    bars(host, groups, groups.map((group) => `${group.name}: ${group.bars.map((bar) => `${bar.label} ${percent(bar.share)} %`).join(", ")}`).join("; "));
  }

  // Neighbours put together until each group has enough problems to tell something.
  const weightOf = (parts) => parts.reduce((sum, part) => sum + part.weight, 0);
  const meanOf = (parts, value) => parts.reduce((sum, part) => sum + part.weight * value(part), 0) / weightOf(parts);
  function grouped(parts, least) {
    const groups = [[]];
    for (const part of parts) {
      if (weightOf(groups[groups.length - 1]) >= least) groups.push([]);
      groups[groups.length - 1].push(part);
    }
    if (groups.length > 1 && weightOf(groups[groups.length - 1]) < FEW) groups[groups.length - 2].push(...groups.pop());
    return groups;
  }
  const mergedSlices = (slices) => grouped(slices, Math.max(FEW, weightOf(slices) / 8)).map((group) => ({
    value: group.length > 1 ? `${group[0].value}–${group[group.length - 1].value}` : group[0].value,
    weight: weightOf(group), oracle: meanOf(group, (slice) => slice.oracle),
    accuracy: Object.fromEntries(Object.keys(group[0].accuracy).map((label) => [label, meanOf(group, (slice) => slice.accuracy[label])])),
  }));
  const mergedBins = (bins) => grouped(bins, FEW).map((group) => ({
    weight: weightOf(group), confidence: meanOf(group, (bin) => bin.confidence), accuracy: meanOf(group, (bin) => bin.accuracy),
  }));

  function breakdown(host, point, methods, name) {
    const parts = point.breakdowns[name] || [];
    const slices = name === "right_samples" && parts.length > 10 ? mergedSlices(parts) : parts;
    if (!slices.length) return empty(host, "Nothing to show.");
    const label = slices.map((slice) => `${slice.value}: ${methods.map((one) => `${one.label} ${percent(slice.accuracy[one.label])} %`).join(", ")}`).join("; ");
    if (slices.length <= 20) {
      return bars(host, slices.map((slice) => ({
        name: name === "right_samples" ? `${slice.value} of ${point.k} right` : slice.value,
        size: problems(slice.weight), weight: slice.weight, bound: name === "right_samples" ? undefined : slice.oracle,
        bars: methods.filter((one) => one.label in slice.accuracy).map((one) => ({ number: one.number, label: one.label, share: slice.accuracy[one.label] })),
      })), label);
    }
    // Too many parts for bars: a line per method, and the weight of each part behind it.
    const last = slices.length - 1, most = Math.max(...slices.map((slice) => slice.weight));
    const area = plot(host, {
      label, lows: [0], highs: [1], fixed: [0, 0.2, 0.4, 0.6, 0.8, 1], yName: "right, %", xName: name === "right_samples" ? `right samples of ${point.k}; grey: how many problems` : `${name}; grey: how many problems`,
      marks: slices.map((slice, place) => ({ value: place, text: cut(slice.value, 12) })), across: (place) => place / last,
    });
    const wide = Math.max(2, ((area.right - area.left - 28) / last) * 0.7);
    slices.forEach((slice, place) => {
      const tall = (slice.weight / most) * (area.foot - area.top) * 0.5;
      area.svg.append(draw("rect", { class: "share", x: area.x(place) - wide / 2, y: area.foot - tall, width: wide, height: tall }, said(`${slice.value}: ${problems(slice.weight)}`)));
    });
    lines(area, methods.map((one) => ({ ...one, points: slices.flatMap((slice, place) => (one.label in slice.accuracy ? [{ x: place, y: slice.accuracy[one.label], few: slice.weight < FEW, told: `${one.label}, ${slice.value}` }] : [])) })), 3);
  }

  function lines(area, shown, size) {
    for (const one of shown) {
      const group = draw("g", { class: colour(one.number) });
      group.append(draw("path", { class: "line", d: path(one.points.filter((at) => !at.few).map((at) => [area.x(at.x), area.y(at.y)])), "stroke-dasharray": DASHES[one.number % 8] }));
      for (const at of one.points.length > 25 ? [] : one.points) {
        if (at.interval && !at.few) group.append(draw("line", { class: "whisker", x1: area.x(at.x), x2: area.x(at.x), y1: area.y(at.interval.low), y2: area.y(at.interval.high) }));
        const dot = mark(one.number, area.x(at.x), area.y(at.y), at.size || size, at.few);
        dot.append(said(`${at.told}: ${percent(at.y)} %${at.interval ? ` (${percent(at.interval.low)}–${percent(at.interval.high)})` : ""}`));
        group.append(dot);
      }
      area.svg.append(group);
    }
  }

  function stated(point, methods) {
    return methods.flatMap(({ label, number }) => point.methods.filter((method) => method.label === label && method.calibration).map((method) => ({ label, number, of: method.calibration })));
  }

  function reliability(host, point, methods) {
    const shown = stated(point, methods).map((one) => ({ ...one, of: { ...one.of, bins: mergedBins(one.of.bins) } }));
    if (!shown.length) return empty(host, "None of the methods shown states a confidence.");
    const fifths = [0, 0.2, 0.4, 0.6, 0.8, 1];
    const area = plot(host, {
      label: shown.map((one) => `${one.label}: Brier ${one.of.brier.toFixed(3)}`).join("; "), lows: [0], highs: [1], fixed: fifths,
      marks: fifths.map((value) => ({ value, text: `${100 * value}` })), across: (value) => value, xName: "confidence stated, %", yName: "right, %",
    });
    area.svg.append(draw("line", { class: "one", x1: area.x(0), y1: area.y(0), x2: area.x(1), y2: area.y(1) }));
    const most = Math.max(...shown.flatMap((one) => one.of.bins.map((bin) => bin.weight)));
    lines(area, shown.map((one) => ({ ...one, points: one.of.bins.map((bin) => ({ x: bin.confidence, y: bin.accuracy, few: bin.weight < FEW, interval: interval(bin.accuracy, bin.weight), size: 2.5 + 4.5 * Math.sqrt(bin.weight / most), told: `${one.label}, confidence ${percent(bin.confidence)} %, ${problems(bin.weight)}` })) })), 4);
  }

  function coverage(host, point, methods) {
    const enough = (one) => ({ ...one, of: { ...one.of, coverage: one.of.coverage.filter((at) => at.coverage * point.problems >= FEW) } });
    const confident = stated(point, methods), shown = confident.map(enough).filter((one) => one.of.coverage.length);
    if (!shown.length) return empty(host, confident.length ? `A confidence is stated on fewer than ${FEW} problems.` : "None of the methods shown states a confidence.");
    const least = (one) => one.of.coverage.filter((at) => at.most_wrong != null).map((at) => ({ x: at.coverage, y: 1 - at.most_wrong }));
    const shares = shown.flatMap((one) => [...one.of.coverage.map((at) => at.accuracy), ...least(one).map((at) => at.y)]);
    const room = tagRoom(shown.map((one) => one.label), host.clientWidth);
    const area = plot(host, {
      label: shown.map((one) => `${one.label}: ${percent(one.of.coverage[one.of.coverage.length - 1].accuracy)} % at ${percent(one.of.answered)} % coverage`).join("; "),
      lows: [Math.min(...shares)], highs: [Math.max(...shares)], room, xName: "problems answered, %", yName: "right, %",
      marks: [0, 0.25, 0.5, 0.75, 1].map((value) => ({ value, text: `${100 * value}` })), across: (value) => value,
    });
    lines(area, shown.map((one) => ({ ...one, points: one.of.coverage.map((at) => ({ x: at.coverage, y: at.accuracy, told: `${one.label}, coverage ${percent(at.coverage)} %${at.most_wrong == null ? "" : `, at least ${percent(1 - at.most_wrong)} %`}` })) })), 3);
    for (const one of shown) {
      const group = draw("g", { class: colour(one.number) });
      group.append(draw("path", { class: "line bound", d: path(least(one).map((at) => [area.x(at.x), area.y(at.y)])) }));
      area.svg.append(group);
    }
    if (room) tags(area, shown.map((one) => ({ text: one.label, kind: `tag ${colour(one.number)}`, x: area.right + 4, y: area.y(one.of.coverage[one.of.coverage.length - 1].accuracy) })));
  }

  return { FEW, sample, colour, curves, costs, recovery, breakdown, reliability, coverage };
})();
