// Draws the charts and the list of problems. Texts of the data reach the page as text nodes only, never as markup.
"use strict";
(() => {
  const PAGE = 40; // problems in the list at a time
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);

  // element("li", {class: "low"}, "text", child …)
  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name.startsWith("--")) made.style.setProperty(name, value);
      else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }
  const short = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));
  const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

  // Look and charts

  const system = matchMedia("(prefers-color-scheme: dark)");
  const looks = ["auto", "light", "dark"];
  let views = [];
  let turn = 0; // of drawing: a later one ends those before it

  function look() {
    const chosen = document.documentElement.dataset.look;
    return chosen === "auto" ? (system.matches ? "dark" : "light") : chosen;
  }

  function painted(value, palette) {
    if (Array.isArray(value)) return value.map((one) => painted(one, palette));
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, painted(one, palette)]));
    return typeof value === "string" && value.startsWith("@") ? palette[value.slice(1)] || value : value;
  }

  async function draw() {
    const now = look();
    const mine = ++turn;
    views.forEach((one) => one.finalize());
    views = [];
    for (const place of document.querySelectorAll("[data-chart]")) {
      const figure = place.closest("figure");
      const drawn = await vegaEmbed(place, painted(data.charts[place.dataset.chart], data.palettes[now]), {
        config: data.styles[now], renderer: "svg", actions: false, ast: true, defaultStyle: false,
        tooltip: { disableDefaultStyle: true },
      });
      if (mine !== turn) return drawn.finalize();
      const svg = place.querySelector("svg");
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", figure.querySelector("h3").textContent + "; the numbers are below");
      views.push(drawn);
    }
    document.documentElement.dataset.drawn = `${now} ${views.length}`;
  }

  byId("look").addEventListener("click", (event) => {
    const root = document.documentElement;
    root.dataset.look = looks[(looks.indexOf(root.dataset.look) + 1) % looks.length];
    event.target.textContent = `Look: ${root.dataset.look}`;
    draw();
  });
  system.addEventListener("change", draw);

  // Problems

  let details = null; // solutions and pairs, unpacked at the first look
  async function unpacked() {
    if (details === null) {
      const bytes = Uint8Array.from(atob(byId("details").textContent), (one) => one.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      details = JSON.parse(await new Response(stream).text());
    }
    return details;
  }

  const scored = data.problems.some((one) => one.lowest !== null);
  let found = [];
  let shown = 0;
  let open = null; // place of the open problem in data.problems

  const tests = {
    "": () => true,
    paired: (one) => one.pairs > 0,
    unpaired: (one) => one.solutions > 0 && one.pairs === 0,
    mixed: (one) => one.right_ones > 0 && one.wrong_ones > 0,
    gained: (one) => one.fate === "gained",
    lost: (one) => one.fate === "lost",
  };
  const last = (value, otherwise) => (value === null ? otherwise : value);
  const orders = {
    lowest: (one) => last(one.lowest, 2),
    widest: (one) => -last(one.widest, -2),
    right: (one) => (one.solutions ? one.right_ones / one.solutions : 2),
  };

  function filter() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const split = byId("split").value;
    const below = byId("below").value === "" ? null : Number(byId("below").value);
    const test = tests[byId("show").value];
    found = [];
    data.problems.forEach((one, place) => {
      const text = `${one.question}\n${one.gold}\n${one.id}`.toLowerCase();
      if (!words.every((word) => text.includes(word))) return;
      if (split && one.split !== split) return;
      if (below !== null && !(one.lowest !== null && one.lowest < below)) return;
      if (test(one)) found.push(place);
    });
    const key = orders[byId("order").value];
    if (key) found.sort((a, b) => key(data.problems[a]) - key(data.problems[b]) || a - b);
    byId("list").replaceChildren();
    shown = 0;
    more();
    const of = found.length === data.problems.length ? "" : ` of ${data.problems.length.toLocaleString("en")}`;
    byId("count").textContent = found.length ? `${found.length.toLocaleString("en")}${of} problems` : "No problem is like that. Take a filter away.";
  }

  function more() {
    byId("list").append(...found.slice(shown, shown + PAGE).map(entry));
    shown = Math.min(shown + PAGE, found.length);
    byId("more").hidden = shown >= found.length;
    byId("more").textContent = `Show more (${(found.length - shown).toLocaleString("en")} left)`;
  }

  function entry(place) {
    const one = data.problems[place];
    const part = (count, name) => (count ? element("i", { "--n": count, class: name }) : null);
    const shares = element("div", { class: "shares", "aria-hidden": "true" },
      part(one.right_ones, "right"), part(one.wrong_ones, "wrong"), part(one.solutions - one.right_ones - one.wrong_ones, "open"));
    const meta = one.solutions
      ? [`${one.right_ones} of ${one.solutions} right`, counted(one.pairs, "pair"), one.lowest === null ? null : `lowest ${short(one.lowest)}`]
      : [one.split === "test" ? "held out" : "no solutions"];
    return element("li", {}, element("button", { type: "button", "data-place": place, "aria-current": place === open ? "true" : null, onclick: () => show(place, true) },
      element("span", { class: "question" }, one.question),
      element("span", { class: "meta" }, ...meta.filter(Boolean).map((text) => element("span", {}, text))),
      one.solutions ? shares : null));
  }

  async function show(place, byHand) {
    const one = data.problems[place];
    open = place;
    for (const button of byId("list").querySelectorAll("button"))
      if (Number(button.dataset.place) === place) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    const { solutions, pairs } = (await unpacked())[place];
    if (open !== place) return;
    byId("detail").replaceChildren(
      element("h3", {}, one.question),
      element("p", { class: "facts" }, ...[one.gold === null ? "no gold answer" : `gold answer ${one.gold}`, `split ${one.split}`, one.source, one.id].map((text) => element("span", {}, text))),
      ...(solutions.length ? tabs(solutions, pairs, one.reason) : [element("p", { class: "empty" }, one.split === "test" ? "Held out for evaluation: it was not sampled." : "It has no solutions.")]),
    );
    if (!byHand) return;
    history.replaceState(null, "", `#problem=${one.id}`);
    if (matchMedia("(max-width: 52rem)").matches) byId("detail").scrollIntoView({ block: "start" });
  }

  function tabs(solutions, pairs, reason) {
    const panel = element("div", { role: "tabpanel", id: "panel" });
    const made = [
      ["solutions", `Solutions (${solutions.length})`, () => solutions.map((one, at) => card(one, pairs.filter((pair) => pair[0] === at || pair[1] === at).length))],
      ["pairs", `Pairs (${pairs.length})`, () => sideBySide(solutions, pairs, reason)],
    ].map(([name, title, fill]) => element("button", {
      type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel",
      onclick: (event) => pick(event.currentTarget, fill),
      onkeydown: (event) => {
        if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
        const other = made.find((tab) => tab !== event.currentTarget);
        other.focus();
        other.click();
      },
    }, title));
    function pick(tab, fill) {
      for (const one of made) {
        one.setAttribute("aria-selected", String(one === tab));
        one.tabIndex = one === tab ? 0 : -1;
      }
      panel.setAttribute("aria-labelledby", tab.id);
      panel.replaceChildren(...fill());
    }
    const scale = element("span", { class: "scale" }, scored ? "reward 0" : "label 0", element("i", { "aria-hidden": "true" }), "1");
    made[0].click();
    return [element("div", { class: "bar" }, element("div", { role: "tablist", "aria-label": "What to show" }, ...made), scale), panel];
  }

  function card(one, pairs, same = 0) {
    const verdict = one.correct === null ? "undecided" : one.correct ? "right" : "wrong";
    const facts = [
      one.answer === null ? "no answer" : `answer ${one.answer}`,
      one.score === null ? null : `score ${short(one.score)}`,
      pairs ? `in ${counted(pairs, "pair")}` : null,
      `sample ${one.sample}`,
      one.finish === "length" ? "cut at the limit" : null,
    ];
    const steps = one.steps || [[one.text, null, null]];
    return element("section", { class: "solution", "aria-label": `${verdict}, sample ${one.sample}` },
      element("header", {}, element("b", { class: `verdict ${verdict}` }, verdict), ...facts.filter(Boolean).map((text) => element("span", {}, text))),
      element("ol", { class: "steps" }, ...steps.map((parts, at) => step(parts, at < same))));
  }

  // Where nothing was scored yet, labels give the colours.
  function tinted(reward, label) {
    if (scored || label === null) return reward;
    const [some, all] = label.split("/").map(Number);
    return all ? some / all : label.startsWith("label 1") ? 1 : label.startsWith("label 0") ? 0 : null;
  }

  function step([text, reward, label], same) {
    const tint = tinted(reward, label);
    return element("li", { class: tint === null ? "" : tint >= 0.5 ? "high" : "low", "--strength": tint === null ? 0 : Math.abs(tint - 0.5) * 2 },
      element("span", { class: "reward", title: reward === null ? "no reward" : `reward ${reward}` }, short(reward),
        label === null ? null : element("small", { title: label.includes("/") ? "right rollouts of all" : "what the labeller says" }, label)),
      element("span", { class: same ? "words same" : "words" }, text.replace(/\s+$/, "")));
  }

  function sideBySide(solutions, pairs, reason) {
    if (!pairs.length) return [element("p", { class: "empty" }, `No pairs: ${reason || "it takes a right and a wrong solution, both scored"}.`)];
    const sides = element("div", { class: "sides" });
    const told = element("p", { class: "quiet" });
    const choice = element("select", { "aria-label": "Pair", onchange: () => fill() }, ...pairs.map((pair, at) =>
      element("option", { value: at }, `Pair ${at + 1}, margin ${short(pair[4])}: sample ${solutions[pair[0]].sample} over ${solutions[pair[1]].sample}`)));
    const move = (by) => () => {
      choice.selectedIndex = (choice.selectedIndex + by + pairs.length) % pairs.length;
      fill();
    };
    function fill() {
      const [chosen, rejected] = pairs[choice.selectedIndex].slice(0, 2).map((place) => solutions[place]);
      const same = alike(chosen.steps || [], rejected.steps || []);
      told.textContent = same ? `The first ${same === 1 ? "step is" : `${same} steps are`} the same in both.` : "They part at the first step.";
      sides.replaceChildren(...[["Chosen", chosen], ["Rejected", rejected]].map(([title, one]) =>
        element("div", {}, element("h4", {}, title), card(one, 0, same))));
    }
    fill();
    return [element("div", { class: "pair-pick" }, element("button", { type: "button", "aria-label": "Previous pair", onclick: move(-1) }, "←"), choice,
      element("button", { type: "button", "aria-label": "Next pair", onclick: move(1) }, "→")), told, sides];
  }

  function alike(some, others) {
    let count = 0;
    while (count < some.length && count < others.length && some[count][0] === others[count][0]) count += 1;
    return count;
  }

  // Arrow keys walk through the list; / goes to the search.
  function keys(event) {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      byId("search").focus();
    }
    const item = document.activeElement.closest && document.activeElement.closest("#list li");
    if (!item || (event.key !== "ArrowDown" && event.key !== "ArrowUp")) return;
    event.preventDefault();
    if (event.key === "ArrowDown" && !item.nextElementSibling && !byId("more").hidden) more();
    const next = event.key === "ArrowDown" ? item.nextElementSibling : item.previousElementSibling;
    if (next) next.querySelector("button").focus();
  }

  if (byId("filters")) {
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("filters").addEventListener("input", filter);
    byId("more").addEventListener("click", more);
    document.addEventListener("keydown", keys);
    filter();
    const wanted = location.hash.startsWith("#problem=") ? data.problems.findIndex((one) => `#problem=${one.id}` === location.hash) : -1;
    const first = wanted >= 0 ? wanted : Math.max(0, data.problems.findIndex((one) => one.pairs > 0));
    show(first, false);
    if (wanted >= 0) byId("problems").scrollIntoView();
  }
  draw();
})();
