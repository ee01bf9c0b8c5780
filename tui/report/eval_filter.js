"use strict";
// Which documents pass a filter: data in, places out. Nothing here knows of a page, so that tests run it without one.
// A document is [id, text or null, gold]; a row [predicted, faults, outcome]; a fault [kind, steps, gold, predicted];
// a span [start, end, label, ...].
const evalFilter = (() => {
  const key = (span) => span[0] + " " + span[1] + " " + span[2];
  function change(doc, row, before) {
    const now = new Set(row[0].map(key)), was = new Set(before[0].map(key)), gold = new Set(doc[2].map(key));
    if (now.size === was.size && [...now].every((x) => was.has(x))) return "same";
    const wrong = (set) => [...set].filter((x) => !gold.has(x)).length + [...gold].filter((x) => !set.has(x)).length;
    const d = wrong(now) - wrong(was);
    return d < 0 ? "better" : d > 0 ? "worse" : "other";
  }
  function passes(wanted, doc, row, before) {
    const { kind, step, type } = wanted, words = wanted.search.trim().toLowerCase();
    let faults = row[1];
    if (kind === "none" && faults.length) return false;
    if (kind === "any" && !faults.length) return false;
    if (step !== "") faults = faults.filter((f) => f[1].includes(Number(step)));
    if (type !== "") faults = faults.filter((f) => [...f[2], ...f[3]].some((s) => s[2] === Number(type)));
    if (step !== "" && !faults.length) return false;
    if (kind[0] === "k" && !faults.some((f) => "k" + f[0] === kind)) return false;
    if (type !== "" && !faults.length && (kind || ![...doc[2], ...row[0]].some((s) => s[2] === Number(type)))) return false;
    if (wanted.change) {
      const how = before ? change(doc, row, before) : "same";
      if (wanted.change === "changed" ? how === "same" : how !== wanted.change) return false;
    }
    return !words || (doc[0] + "\n" + (doc[1] || "")).toLowerCase().includes(words);
  }
  function found(wanted, docs, cell, base) {
    const places = [];
    cell.rows.forEach((row, at) => {
      if (row && passes(wanted, docs[at], row, base && base.rows[at])) places.push(at);
    });
    return places;
  }
  return { change, found };
})();
