(async () => {
  const $ = (id) => document.getElementById(id);
  const settings = JSON.parse($("settings").textContent);
  const PAGE = 20;
  const SIGN = { right: "✓", type: "≠", boundary: "↔", extra: "+", missed: "missed" };
  const SAID = { right: "right", type: "another type than gold", boundary: "other borders than gold", extra: "not in gold", missed: "in gold, not found" };
  const make = (name, text, parent, className) => {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    if (className) node.className = className;
    if (parent) parent.append(node);
    return node;
  };
  const list = $("list");

  async function unpack() {
    const bytes = Uint8Array.from(atob($("data").textContent.trim()), (c) => c.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(plain).text());
  }
  let data;
  try {
    data = await unpack();
  } catch (error) {
    make("p", "This browser cannot unpack the documents (" + error.message + ").", list, "aside");
    return;
  }

  const option = (select, value, text) => { const node = make("option", text, select); node.value = value; };
  let group = null;
  for (const [number, cell] of data.cells.entries()) {
    if (!group || group.label !== cell.data) { group = make("optgroup", undefined, $("cell")); group.label = cell.data; }
    option(group, number, cell.name);
  }
  $("cell").value = settings.shown;
  for (const [value, text] of [["", "all documents"], ["any", "any error"], ["none", "none"]]) option($("kind"), value, text);
  data.kinds.forEach((name, n) => option($("kind"), "k" + n, name));
  $("kind").value = "any";
  option($("step"), "", "any step");
  data.steps.forEach((name, n) => option($("step"), n, name));
  option($("type"), "", "all");
  data.labels.forEach((name, n) => option($("type"), n, name));

  // The filter stands in the address, so that a link can point at what somebody saw.
  const FIELDS = ["cell", "kind", "step", "change", "type", "search"];
  const given = new URLSearchParams(location.hash.slice(1));
  for (const id of FIELDS) {
    if (!given.has(id)) continue;
    const before = $(id).value;
    $(id).value = given.get(id);
    if ($(id).value !== given.get(id)) $(id).value = before;
  }
  function remember() {
    const now = new URLSearchParams();
    for (const id of FIELDS) if ($(id).value !== "") now.set(id, $(id).value);
    if (!now.has("kind")) now.set("kind", "");
    try { history.replaceState(null, "", "#" + now); } catch (error) { /* an address that may not change: the filter works all the same */ }
  }

  const same = (a, b) => a[0] === b[0] && a[1] === b[1] && a[2] === b[2];
  const change = evalFilter.change;

  let found = [], page = 0;
  const view = () => {
    const cell = data.cells[$("cell").value];
    return { cell, docs: data.sets[cell.data], base: cell.base === null ? null : data.cells[cell.base] };
  };

  function apply() {
    const { cell, docs, base } = view();
    $("change-label").hidden = base === null;
    $("before").parentNode.hidden = base === null;
    const wanted = Object.fromEntries(["kind", "step", "type", "search"].map((id) => [id, $(id).value]));
    wanted.change = base === null ? "" : $("change").value;
    found = evalFilter.found(wanted, docs, cell, base);
    page = 0;
    draw();
  }

  function standing(span, others, mine) {
    if (others.some((o) => same(o, span))) return "right";
    if (others.some((o) => o[0] === span[0] && o[1] === span[1])) return "type";
    if (others.some((o) => o[0] < span[1] && span[0] < o[1])) return "boundary";
    return mine ? "extra" : "missed";
  }

  function text(points, spans, others, mine, parent) {
    const marks = spans.filter((s) => s[1] <= points.length).map((s) => ({ s, how: standing(s, others, mine), lane: 0 }));
    const lanes = [];
    for (const mark of [...marks].sort((a, b) => (a.s[1] - a.s[0]) - (b.s[1] - b.s[0]))) {
      let lane = lanes.findIndex((there) => there.every((o) => o.s[1] <= mark.s[0] || mark.s[1] <= o.s[0]));
      if (lane < 0) { lane = lanes.length; lanes.push([]); }
      lanes[lane].push(mark);
      mark.lane = lane;
    }
    const node = make("p", undefined, parent, "text");
    node.dir = "auto";
    node.style.setProperty("--lanes", lanes.length);
    const cuts = [...new Set([0, points.length, ...marks.flatMap((m) => [m.s[0], m.s[1]])])].sort((a, b) => a - b);
    for (let i = 0; i + 1 < cuts.length; i++) {
      const here = marks.filter((m) => m.s[0] <= cuts[i] && cuts[i + 1] <= m.s[1]);
      const words = points.slice(cuts[i], cuts[i + 1]).join("");
      if (!here.length) { node.append(words); continue; }
      const piece = make("span", words, node, "s");
      const deep = Math.max(...here.map((m) => m.lane)) + 1;
      piece.style.setProperty("--n", deep);
      piece.style.backgroundImage = here.map((m) => {
        const c = colour(m.s[2]);
        if (m.how === "right") return "linear-gradient(" + c + "," + c + ")";
        const [on, off] = m.how === "missed" || !mine ? [2, 5] : [7, 10];
        return "repeating-linear-gradient(90deg," + c + " 0 " + on + "px,transparent " + on + "px " + off + "px)";
      }).join(",");
      piece.style.backgroundPosition = here.map((m) => "0 calc(100% - " + (deep - 1 - m.lane) * 4 + "px)").join(",");
      for (const m of here.filter((m) => m.s[1] === cuts[i + 1]).sort((a, b) => b.s[0] - a.s[0])) {
        const tag = make("span", undefined, node, "t " + (mine || m.how === "right" ? m.how : "missed"));
        tag.style.setProperty("--c", colour(m.s[2]));
        tag.title = data.labels[m.s[2]] + ": " + SAID[m.how] + (m.s[3] === undefined ? "" : ", confidence " + m.s[3].toFixed(2));
        make("span", SIGN[m.how], tag, "g");
        tag.append(data.labels[m.s[2]]);
        if (m.s[3] !== undefined) make("span", m.s[3].toFixed(2), tag, "c");
      }
    }
  }
  const colour = (label) => "var(--l" + (label % settings.hues) + ")";

  function side(title, doc, spans, others, mine, parent) {
    const box = make("div", undefined, parent, "side");
    make("h3", title, box);
    if (doc[1] !== null) text(Array.from(doc[1]), spans, others, mine, box);
    else make("p", spans.map((s) => data.labels[s[2]] + " " + s[0] + "\u2013" + s[1]).join(", ") || "nothing", box, "aside");
  }

  function fault(doc, one, parent) {
    const points = doc[1] === null ? null : Array.from(doc[1]);
    const said = (s) => (points ? "\u201c" + points.slice(s[0], s[1]).join("") + "\u201d" : s[0] + "\u2013" + s[1]) + " " + data.labels[s[2]];
    const item = make("li", undefined, parent);
    make("b", data.kinds[one[0]], item);
    const sides = [one[2], one[3]].map((spans) => spans.map(said).join(", ")).filter((x) => x);
    item.append(" ");
    make("bdi", sides.join(" \u2192 "), item);
    if (one[1].length) make("span", " charged to " + one[1].map((n) => data.steps[n]).join(", "), item, "by");
  }

  // Votes, questions and answers are drawn when somebody opens them: most are never looked at.
  const why = data.why, line = (n) => why.lines[n];
  function explanation(cell, at, doc, row, article) {
    if (!why.most) return;
    const told = cell.pass === null ? undefined : why.passes[cell.pass][at];
    const box = make("details", undefined, article, "why");
    const summary = make("summary", "votes, prompts, cost", box);
    if (!told) {
      make("p", "Not in this page: it holds those of at most " + why.most + " documents of a data set, errors first. " +
        "quorum eval view " + cell.run + " has them all; quorum eval report --explain N keeps more here.", box, "aside");
      summary.append(" (not in this page)");
      return;
    }
    box.addEventListener("toggle", () => { if (box.open && box.children.length === 1) explain(told, doc, row, box); });
  }

  function explain(told, doc, row, box) {
    const [candidates, steps, shown, ungrounded, reason] = told;
    const points = doc[1] === null ? null : Array.from(doc[1]);
    const words = (s) => points ? points.slice(s[0], s[1]).join("") : s[0] + "\u2013" + s[1];
    const inside = make("div", undefined, box);
    make("h3", candidates.length + (candidates.length === 1 ? " candidate" : " candidates"), inside);
    if (candidates.length) {
      const scroll = make("div", undefined, inside, "scroll"), table = make("table", undefined, scroll);
      const head = make("tr", undefined, make("thead", undefined, table));
      for (const name of ["span", "decided", "proposed by", "votes", "share", "verifier"]) make("th", name, head).scope = "col";
      const body = make("tbody", undefined, table);
      for (const one of candidates) {
        const tr = make("tr", undefined, body), th = make("th", undefined, tr);
        th.scope = "row";
        make("bdi", words(one), th);
        const taken = row[0].find((s) => s[0] === one[0] && s[1] === one[1]);
        make("td", taken ? data.labels[taken[2]] + " " + taken[3].toFixed(2) : "turned down", tr);
        make("td", one[3].map(line).join(", ") || "nobody", tr);
        make("td", one[4].map((v) => line(v[0]) + ": " + (line(v[1]) || "none") + " " + v[2].toFixed(2)).join(", ") || "no vote", tr);
        make("td", one[5].toFixed(2), tr);
        make("td", one[6] === null ? "not asked" : "yes " + one[6].toFixed(2), tr);
      }
    }
    if (ungrounded.length) make("p", "Written, not in the text: " + ungrounded.map(line).join(", "), inside);
    if (line(reason)) make("p", line(reason), inside);
    make("p", shown.length ? "Demonstrations shown: " + shown.map(line).join(", ") : "No demonstrations were shown.", inside, "aside");
    const alone = steps.filter((step) => line(step[0]).startsWith("oracle_")), own = steps.filter((step) => !alone.includes(step));
    const sum = (n) => own.reduce((total, step) => total + step[6][n], 0), seconds = own.reduce((t, step) => t + step[7], 0);
    const kept = own.filter((step) => step[8]).length;
    make("p", own.length + " requests: " + sum(0) + " tokens read (" + sum(1) + " from the prefix cache), " + sum(2) + " written, " +
      seconds.toFixed(2) + " s" + (kept ? "; " + kept + " answers were kept ones" : "") +
      (alone.length ? "; besides " + alone.length + " with the truth given, for steps scored alone" : ""), inside, "aside");
    const asked = make("ol", undefined, inside, "asked");
    for (const step of steps) question(step, words, make("li", undefined, asked));
  }

  function question(step, words, item) {
    const box = make("details", undefined, item), head = make("summary", undefined, box);
    make("b", line(step[0]).replace("oracle_", "given the truth: ") + " " + line(step[1]), head);
    if (step[3]) { head.append(" "); make("bdi", "\u201c" + words(step[3]) + "\u201d", head); }
    head.append(" \u2192 ");
    make("bdi", line(step[4]).trim() || "-", head, step[5] ? "failed" : "answer");
    if (step[9].length) make("span", " " + step[9].map((a) => (line(a[0]).trim() || "?") + " " + a[1].toFixed(2)).join(", "), head, "by");
    box.addEventListener("toggle", () => {
      if (!box.open || box.children.length > 1) return;
      if (step[2] === null) make("p", "The prompt was not kept.", box, "aside");
      else for (const [role, lines] of why.prompts[step[2]]) {
        make("h4", line(role), box);
        make("pre", lines.map(line).join("\n"), box).dir = "auto";
      }
      make("p", step[6][0] + " tokens read, " + step[6][1] + " of them from the prefix cache, " + step[6][2] + " written, " +
        (step[8] ? "a kept answer" : step[7].toFixed(2) + " s"), box, "aside");
    });
  }

  function draw() {
    const { cell, docs, base } = view();
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = Math.max(0, Math.min(page, pages - 1));
    list.replaceChildren();
    for (const at of found.slice(page * PAGE, (page + 1) * PAGE)) {
      const doc = docs[at], row = cell.rows[at], before = base && base.rows[at];
      const article = make("article", undefined, list);
      article.tabIndex = -1;
      const head = make("h2", undefined, article);
      make("bdi", doc[0], head);
      make("span", row[2], head, "o " + row[2]);
      make("span", row[1].length ? row[1].length + (row[1].length === 1 ? " error" : " errors") : "all right", head, "n");
      if (before) {
        const how = change(doc, row, before);
        if (how !== "same") make("span", how === "other" ? "changed, as many errors" : how + " than the baseline", head, "o " + how);
      }
      const sides = make("div", undefined, article, "sides");
      side("gold", doc, doc[2], row[0], false, sides);
      side("prediction", doc, row[0], doc[2], true, sides);
      if (before && ($("before").checked || $("change").value)) side("baseline", doc, before[0], doc[2], true, sides);
      if (row[1].length) {
        const faults = make("ul", undefined, article, "faults");
        for (const one of row[1]) fault(doc, one, faults);
      }
      explanation(cell, at, doc, row, article);
    }
    $("nothing").hidden = found.length > 0;
    const total = cell.rows.filter((row) => row).length;
    $("count").textContent = found.length + " of " + total + " documents" + (pages > 1 ? ", page " + (page + 1) + " of " + pages : "");
    $("previous").disabled = page === 0;
    $("next").disabled = page + 1 >= pages;
  }

  function turn(by) {
    const before = page;
    page += by;
    draw();
    if (page !== before) { $("documents").scrollIntoView(); const first = list.querySelector("article"); if (first) first.focus({ preventScroll: true }); }
  }
  const form = document.querySelector(".filter");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    if (event.target.id === "before") draw();
    else { apply(); remember(); }
  });
  $("previous").addEventListener("click", () => turn(-1));
  $("next").addEventListener("click", () => turn(1));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    if (event.key === "/") { event.preventDefault(); $("search").focus(); return; }
    if (event.key === "n" || event.key === "p") { turn(event.key === "n" ? 1 : -1); return; }
    if (event.key !== "j" && event.key !== "k") return;
    const articles = [...list.querySelectorAll("article")];
    const here = articles.indexOf(document.activeElement && document.activeElement.closest("article"));
    const next = articles[event.key === "j" ? Math.min(here + 1, articles.length - 1) : Math.max(here - 1, 0)];
    if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
  });
  apply();
})();
