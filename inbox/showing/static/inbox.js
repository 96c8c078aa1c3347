// What the pages of the inbox do beyond what they do without this: copy, and show what comes in at once.
"use strict";

for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  const label = button.textContent;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Gekopieerd";
    document.getElementById("gezegd").textContent = "Het staat op het klembord.";
    setTimeout(() => {
      button.textContent = label;
      document.getElementById("gezegd").textContent = "";
    }, 2000);
  });
}

// Not in the address that one copies, nor after loading again.
if (location.search === "?bewaard") history.replaceState(null, "", location.pathname);

for (const form of document.querySelectorAll("form[data-ask]")) {
  form.addEventListener("submit", (event) => {
    if (!confirm(form.dataset.ask)) event.preventDefault();
  });
}

const live = document.getElementById("live");
if (live && window.EventSource) {
  const AGAIN = 5000; // milliseconds until it connects again after an answer that is no stream
  const HIDDEN_POLL = 30000; // milliseconds; a hidden tab keeps no stream, and asks only how many are unread
  const SHOWN = 500; // rows, as many as the server keeps
  const rows = document.getElementById("rijen");
  const status = document.getElementById("live-status");
  const button = document.getElementById("live-knop");
  const title = document.title.replace(/^\(\d+\) /, "");
  let last = Number(live.dataset.last);
  let source = null;
  let wanted = true;
  let poll = 0;

  const say = (text) => { if (status.textContent !== text) status.textContent = text; };

  const count = (unread) => {
    document.title = unread > 0 ? `(${unread}) ${title}` : title;
    if (unread === 0) {
      for (const row of rows.querySelectorAll(".unread")) {
        row.classList.remove("unread");
        row.querySelector(".number .hidden")?.remove();
      }
    }
  };

  const add = (event) => {
    last = Number(event.lastEventId);
    if (document.getElementById(`v${last}`)) return;
    const holder = document.createElement("template");
    holder.innerHTML = event.data; // a row as the server renders it, every text escaped
    rows.prepend(holder.content);
    document.getElementById("leeg").hidden = true;
    document.getElementById("leeg-curl").hidden = true;
    while (rows.children.length > SHOWN) rows.lastElementChild.remove();
  };

  const connect = () => {
    if (source) return;
    source = new EventSource(`${live.dataset.stream}?since=${last}`);
    source.addEventListener("open", () => say("Live"));
    source.addEventListener("row", add);
    source.addEventListener("unread", (event) => count(Number(event.data)));
    source.addEventListener("reload", () => location.reload());
    source.addEventListener("error", () => {
      say("Geen verbinding, wordt opnieuw geprobeerd");
      if (source?.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      source = null;
      setTimeout(follow, AGAIN);
    });
  };

  const ask = async () => {
    try {
      const answer = await fetch(`${live.dataset.requests}?since=${last}&limit=0`);
      if (answer.ok) count((await answer.json()).unread);
    } catch {
      // asked again soon
    }
  };

  const follow = () => {
    clearInterval(poll);
    if (!wanted || document.hidden) {
      source?.close();
      source = null;
      say(wanted ? "Gepauzeerd" : "Gestopt");
      if (wanted) poll = setInterval(ask, HIDDEN_POLL);
    } else {
      connect();
    }
  };

  button.hidden = false;
  button.addEventListener("click", () => {
    wanted = !wanted;
    button.textContent = wanted ? "Live stoppen" : "Live volgen";
    follow();
  });
  document.addEventListener("visibilitychange", follow);
  window.addEventListener("pagehide", () => { source?.close(); source = null; });
  window.addEventListener("pageshow", (event) => { if (event.persisted) follow(); });
  follow();
}
