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

  let source = null;
  let followed = "";

  // A page that nobody sees asks for nothing: browsers open only six connections to one server.
  function follow() {
    const main = document.getElementById("main");
    const wanted = !document.hidden && main ? main.dataset.live || "" : "";
    if (wanted === followed && source && source.readyState !== EventSource.CLOSED) return;
    if (source) source.close();
    source = null;
    followed = wanted;
    if (!wanted) return;
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
      Idiomorph.morph(main, [...fresh.childNodes], { morphStyle: "innerHTML", ignoreActiveValue: true });
    });
  }

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
