"use strict";
// Keeps an open page up to date, turns times into the reader's zone, and says when the connection is lost.
(() => {
  const zone = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
  });

  function showTimes(root) {
    for (const each of root.querySelectorAll("time[datetime]")) {
      const at = new Date(each.dateTime);
      if (!Number.isNaN(at.valueOf())) each.textContent = zone.format(at);
    }
  }

  const line = document.getElementById("line");
  function say(state, words) {
    if (!line || line.dataset.line === state) return;
    line.dataset.line = state;
    line.querySelector(".words").textContent = words;
  }

  // What somebody types or has opened stays when the page changes around it.
  const MORPH = {
    morphStyle: "innerHTML",
    ignoreActiveValue: true,
    callbacks: {
      beforeNodeMorphed: (node) => !(node.nodeType === Node.ELEMENT_NODE && node.matches("[data-keep]")),
      beforeAttributeUpdated: (name, node) => !(name === "open" && node.tagName === "DETAILS"),
    },
  };

  let source = null;
  let followed = "";

  // A page that nobody sees asks for nothing: browsers open only six connections to one server.
  function follow() {
    const main = document.getElementById("main");
    const file = document.body.dataset.file || "";
    const wanted = !document.hidden && main && !file ? main.dataset.live || "" : "";
    if (wanted === followed && source && source.readyState !== EventSource.CLOSED) return;
    if (source) source.close();
    source = null;
    followed = wanted;
    if (!wanted) {
      if (main && main.querySelector(".time.past")) say("past", "The past");
      else if (file) say("file", file);
      return;
    }
    source = new EventSource(wanted);
    source.onopen = () => say("live", "Live");
    source.onerror = () => {
      say("lost", "Reconnecting");
      if (source.readyState === EventSource.CLOSED) setTimeout(follow, 5000);
    };
    source.addEventListener("page", (event) => {
      say("live", "Live");
      const fresh = document.createElement("main");
      fresh.innerHTML = event.data;
      showTimes(fresh);
      Idiomorph.morph(main, [...fresh.childNodes], MORPH);
    });
  }

  // The slider: the page as it stood, while the handle moves. The address keeps the moment, so a link to it works.
  let asked = 0;
  async function travel(slider) {
    const order = ++asked;
    const url = new URL(location.href);
    if (slider.value >= slider.dataset.now) url.searchParams.delete("at");
    else url.searchParams.set("at", slider.value);
    url.searchParams.delete("page");
    const answer = await fetch(url, { headers: { "x-part": "1" } });
    if (order !== asked) return;
    if (!answer.ok && answer.status !== 404) return;
    const text = await answer.text();
    const parsed = new DOMParser().parseFromString(text, "text/html");
    const fresh = parsed.getElementById("main") || parsed.body;
    const main = document.getElementById("main");
    if (url.searchParams.has("at")) {
      delete main.dataset.live;
      say("past", "The past");
    } else main.dataset.live = "/live" + url.pathname + url.search;
    history.replaceState(null, "", url);
    showTimes(fresh);
    Idiomorph.morph(main, [...fresh.childNodes], MORPH);
    follow();
  }
  let waiting = 0;
  document.addEventListener("input", (event) => {
    if (event.target.id !== "at") return;
    clearTimeout(waiting);
    waiting = setTimeout(travel, 80, event.target);
  });

  // The word of this sign-in stands in <body>, which live pages do not replace.
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    const word = event.target.querySelector("[data-word]");
    if (word) word.value = document.body.dataset.word || "";
    if (button && button.dataset.needs) {
      const needed = event.target.elements[button.dataset.needs];
      if (needed && !needed.value.trim()) {
        event.preventDefault();
        needed.focus();
        return;
      }
    }
    if (button && button.dataset.confirm && !confirm(button.dataset.confirm)) event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    navigator.clipboard.writeText(button.dataset.copy).then(() => {
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  });

  document.addEventListener("visibilitychange", follow);
  document.addEventListener("DOMContentLoaded", () => {
    showTimes(document);
    follow();
  });
  if (document.readyState !== "loading") {
    showTimes(document);
    follow();
  }

  // "/" goes to the search of the page, as on other consoles.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, textarea, select")) return;
    const search = document.querySelector("input[type=search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  });
})();
