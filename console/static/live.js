// A list that is followed live: rows that come are put at its top, and replaced when something became of them.
// Only while somebody looks: a hidden tab has no connection.
"use strict";

const live = document.getElementById("live");
if (live && window.EventSource) {
  const MOST = Number(live.dataset.most);
  const KEY = "nrc-live";
  const button = document.getElementById("live-knop");
  const status = document.getElementById("live-status");
  const list = document.getElementById("lijst");
  const rows = list.querySelector("tbody");
  let source = null;
  let wanted = sessionStorage.getItem(KEY) === "aan";
  let came = 0;

  const say = (text) => { if (status.textContent !== text) status.textContent = text; };

  const add = (event) => {
    const holder = document.createElement("template");
    holder.innerHTML = event.data; // a row as the server renders it, every text escaped
    const row = holder.content.querySelector("tr");
    const there = document.getElementById(row.id);
    if (there) {
      // What the keyboard is at stays where it is.
      if (there.contains(document.activeElement)) there.lastElementChild.replaceWith(row.lastElementChild);
      else there.replaceWith(row);
      return;
    }
    rows.prepend(row);
    list.hidden = false;
    document.getElementById("leeg")?.remove();
    while (rows.children.length > MOST && !rows.lastElementChild.contains(document.activeElement)) {
      rows.lastElementChild.remove();
    }
    came += 1;
  };

  const close = () => { source?.close(); source = null; };

  const stop = (text) => {
    close();
    wanted = false;
    sessionStorage.removeItem(KEY);
    show();
    say(text);
  };

  const open = () => {
    if (source) return;
    source = new EventSource(live.dataset.stream);
    source.addEventListener("open", () => say("Live: nieuwe notificaties komen bovenaan."));
    source.addEventListener("row", add);
    source.addEventListener("full", () => stop("Er kijken nu al te veel mensen live mee. Gebruik Vernieuwen."));
    source.addEventListener("over", () => location.reload());
    source.addEventListener("error", () => {
      if (source?.readyState === EventSource.CLOSED) stop("Live volgen is gestopt. Gebruik Vernieuwen.");
      else say("Geen verbinding; er wordt opnieuw geprobeerd.");
    });
  };

  const show = () => {
    button.setAttribute("aria-pressed", String(wanted));
    button.textContent = wanted ? "Live volgen stoppen" : "Live volgen";
  };

  const follow = () => {
    if (wanted && !document.hidden) {
      open();
    } else {
      close();
      if (wanted) say("Gepauzeerd, tot je terug bent.");
    }
  };

  button.hidden = false;
  button.addEventListener("click", () => {
    if (wanted) {
      stop(came ? `Gestopt; er kwamen er ${came} bij.` : "Gestopt.");
      return;
    }
    wanted = true;
    came = 0;
    sessionStorage.setItem(KEY, "aan");
    show();
    follow();
  });
  document.addEventListener("visibilitychange", follow);
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => { if (event.persisted) follow(); });
  show();
  follow();
}
