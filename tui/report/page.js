"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const pop = document.getElementById("pop");
  const articles = [...document.querySelectorAll("article")];
  const tags = [...document.querySelectorAll(".t")];
  const colour = new Map(tags.map((tag) => [tag.dataset.m, tag.closest("article").style.getPropertyValue("--m" + tag.dataset.m)]));
  const $ = (id) => document.getElementById(id);
  let pinned = null;
  let shown = null;

  const make = (name, text, parent) => {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  };
  const STANDING = { right: "as in gold", type: "gold has another type: ", boundary: "gold has other borders here, of type ", extra: "not in gold", missed: "in gold, and nobody found it" };

  function fill(mark) {
    pop.replaceChildren();
    const title = make("h3", undefined, pop);
    make("bdi", mark.text, title);
    title.append(" \u2013 " + (mark.label || "no type"));
    const gold = STANDING[mark.standing];
    if (gold) make("p", gold + (mark.standing === "type" || mark.standing === "boundary" ? mark.gold : ""), pop);
    if (mark.confidence !== null) make("p", "Confidence " + mark.confidence.toFixed(2), pop);
    if (mark.votes.length) {
      const table = make("table", undefined, pop);
      const head = make("tr", undefined, make("thead", undefined, table));
      for (const name of ["Member", "Proposed it", "Type", "Probability"]) make("th", name, head).scope = "col";
      const body = make("tbody", undefined, table);
      for (const [member, proposed, label, probability] of mark.votes) {
        const row = make("tr", undefined, body);
        make("th", member, row).scope = "row";
        make("td", proposed ? "yes" : "no", row);
        make("td", label || "none", row);
        const cell = make("td", probability.toFixed(2) + " ", row);
        make("span", undefined, cell).className = "bar";
        cell.lastChild.style.width = Math.round(probability * 40) + "px";
      }
    }
    if (mark.verdict !== null) make("p", "Verifier: yes with probability " + mark.verdict.toFixed(2), pop);
    if (mark.demonstrations.length) {
      make("p", "Demonstrations shown with this passage:", pop);
      const list = make("ul", undefined, pop);
      for (const id of mark.demonstrations) make("li", data.demonstrations[id] || id, list);
    }
    make("p", "Offsets " + mark.at.join("\u2013") + (mark.passage === null ? "" : ", passage " + mark.passage), pop).className = "aside";
  }

  function light(number, on) {
    for (const piece of document.querySelectorAll('.s[data-m~="' + number + '"]')) {
      piece.classList.toggle("lit", on);
      piece.style.setProperty("--lit", on ? "var(--m" + number + ")" : "");
    }
  }

  function show(tag) {
    if (shown === tag) return;
    hide();
    shown = tag;
    fill(data.marks[Number(tag.dataset.m)]);
    pop.hidden = false;
    tag.setAttribute("aria-describedby", "pop");
    const box = tag.getBoundingClientRect();
    const below = box.bottom + pop.offsetHeight + 8 < innerHeight || box.top < pop.offsetHeight + 8;
    pop.style.top = (below ? box.bottom + 6 : box.top - pop.offsetHeight - 6) + scrollY + "px";
    pop.style.left = Math.max(8, Math.min(box.left, document.documentElement.clientWidth - pop.offsetWidth - 8)) + scrollX + "px";
    light(tag.dataset.m, true);
  }

  function hide() {
    if (!shown) return;
    light(shown.dataset.m, false);
    shown.removeAttribute("aria-describedby");
    pop.hidden = true;
    shown = null;
  }

  const leave = () => setTimeout(() => {
    if (pinned || !shown || shown.matches(":hover, :focus") || pop.matches(":hover")) return;
    hide();
  }, 120);
  for (const tag of tags) {
    tag.addEventListener("mouseenter", () => { if (!pinned) show(tag); });
    tag.addEventListener("mouseleave", leave);
    tag.addEventListener("focus", () => { pinned = null; show(tag); });
    tag.addEventListener("blur", () => { pinned = null; leave(); });
    tag.addEventListener("click", () => { show(tag); pinned = pinned === tag ? null : tag; });
  }
  pop.addEventListener("mouseleave", leave);

  function apply() {
    const types = new Set([...document.querySelectorAll('input[name="type"]:checked')].map((box) => box.value));
    const least = Number($("least").value);
    const outcome = $("outcome").value;
    const gold = $("gold") ? $("gold").value : "";
    const words = $("search").value.trim().toLowerCase();
    const filtering = types.size < document.querySelectorAll('input[name="type"]').length || least > 0;
    $("least-shown").textContent = least.toFixed(2);
    let count = 0;
    for (const article of articles) {
      let visible = 0;
      for (const tag of article.querySelectorAll(".t")) {
        const off = !types.has(tag.dataset.label) || (tag.dataset.c !== "" && Number(tag.dataset.c) < least);
        tag.hidden = off;
        visible += !off;
        article.style.setProperty("--m" + tag.dataset.m, off ? "transparent" : colour.get(tag.dataset.m));
      }
      const wrong = Number(article.dataset.wrong) > 0;
      const judged = article.dataset.judged === "1";
      const passes = (!outcome || article.dataset.outcome === outcome)
        && (!gold || (judged && (gold === "wrong") === wrong))
        && (!filtering || visible > 0)
        && (!words || searchable(article).includes(words));
      article.hidden = !passes;
      count += passes;
    }
    $("count").textContent = count + (count === 1 ? " document" : " documents");
    $("nothing").hidden = count > 0;
    if (shown && (shown.hidden || shown.closest("article").hidden)) hide();
  }

  const texts = new WeakMap();
  function searchable(article) {
    if (!texts.has(article)) {
      const copy = article.querySelector(".text").cloneNode(true);
      for (const tag of copy.querySelectorAll(".t")) tag.remove();
      texts.set(article, (article.querySelector("h2 bdi").textContent + "\n" + copy.textContent).toLowerCase());
    }
    return texts.get(article);
  }

  const form = document.querySelector(".filter");
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { pinned = null; hide(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    if (event.key === "/") { event.preventDefault(); $("search").focus(); return; }
    if (event.key !== "j" && event.key !== "k") return;
    const list = articles.filter((article) => !article.hidden);
    const here = list.indexOf(document.activeElement && document.activeElement.closest("article"));
    const next = list[event.key === "j" ? Math.min(here + 1, list.length - 1) : Math.max(here - 1, 0)];
    if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
  });
  apply();
})();
