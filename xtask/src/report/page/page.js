// SPDX-License-Identifier: MIT
// The page works without this: it filters, folds old releases away, opens what a link leads to,
// and knows keys.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const root = document.documentElement;
  const filter = $("#filter");
  const all = $("#all");
  const patches = [...new Set($$(".grid [data-patch], article.patch").map((e) => e.dataset.patch))];
  root.classList.add("js");

  const showAll = (on) => {
    root.classList.toggle("all", on);
    if (!all) return;
    all.setAttribute("aria-pressed", String(on));
  };
  all?.addEventListener("click", () => showAll(!root.classList.contains("all")));

  // Words that are part of a patch's name choose patches; a number means that release and those
  // whose name begins with it; all others must be in the row's text.
  const apply = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const isPatch = (word) => /[a-z]|^0/.test(word) && patches.some((p) => p.includes(word));
    const chosen = words.filter(isPatch);
    const rest = words.filter((word) => !isPatch(word));
    const wanted = (patch) => chosen.length === 0 || chosen.some((word) => patch.includes(word));
    const matches = (text) => rest.every((word) =>
      /^\d/.test(word)
        ? text.split(/[\s,;]+/).some((t) => t === word || t.startsWith(word + ".") || t.startsWith(word + "-"))
        : text.includes(word));
    let count = 0;
    for (const row of $$("[data-row]")) {
      const own = row.dataset.patch;
      const text = (row.dataset.text || "").toLowerCase();
      // The story of a patch is not about one release.
      const shown = (!own || wanted(own)) && (row.matches("article.patch") || matches(text));
      row.hidden = !shown;
      if (shown && row.matches(".grid tr")) count += 1;
    }
    for (const cell of $$(".grid [data-patch], .cells [data-patch]")) {
      cell.hidden = !wanted(cell.dataset.patch);
    }
    root.classList.toggle("filtered", rest.length > 0);
    $("#matches").textContent = words.length ? `${count} releases` : "";
  };
  filter.addEventListener("input", apply);
  filter.form.addEventListener("submit", (event) => event.preventDefault());

  // What a link leads to is unfolded, with all around it.
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    if (target.closest("[hidden]")) {
      filter.value = "";
      apply();
    }
    for (let e = target; e; e = e.parentElement) {
      if (e instanceof HTMLDetailsElement) e.open = true;
    }
    target.scrollIntoView();
    if (target.hasAttribute("tabindex")) target.focus({ preventScroll: true });
  };
  addEventListener("hashchange", reveal);
  reveal();

  let problem = -1;
  const step = (by) => {
    const cards = $$("article.problem").filter((card) => !card.hidden);
    if (cards.length === 0) return;
    problem = (problem + by + cards.length) % cards.length;
    if (problem < 0) problem = cards.length - 1;
    location.hash = cards[problem].id;
  };
  const keys = {
    "/": () => filter.focus(),
    n: () => step(1),
    p: () => step(-1),
    a: () => all?.click(),
    g: () => { location.hash = "grid"; },
    b: () => { location.hash = "boots"; },
    t: () => { location.hash = "top"; },
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      filter.value = "";
      apply();
      filter.blur();
      return;
    }
    if (event.target.matches("input, textarea, select")) return;
    const act = keys[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });

  // On paper nothing can be unfolded.
  addEventListener("beforeprint", () => {
    for (const e of $$("#attention details, details.timeline")) e.open = true;
  });
})();
