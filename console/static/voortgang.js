// How far a replay is, while somebody looks: a hidden tab has no connection. Without this script there are links.
"use strict";

const progress = document.getElementById("voortgang");
if (progress && progress.dataset.stream && window.EventSource) {
  const button = document.getElementById("voortgang-knop");
  let source = null;
  let wanted = true;

  const close = () => { source?.close(); source = null; };

  const follow = () => {
    if (!wanted || document.hidden) {
      close();
    } else if (!source) {
      source = new EventSource(progress.dataset.stream);
      source.addEventListener("progress", (event) => {
        progress.innerHTML = event.data; // as the server renders it, every text escaped
      });
      source.addEventListener("ended", () => { close(); location.reload(); });
      source.addEventListener("over", () => location.reload());
      source.addEventListener("full", () => { wanted = false; show(); });
    }
  };

  const show = () => {
    button.textContent = wanted ? "Voortgang stilzetten" : "Voortgang volgen";
    follow();
  };

  document.getElementById("voortgang-zonder").hidden = true;
  button.hidden = false;
  button.addEventListener("click", () => { wanted = !wanted; show(); });
  document.addEventListener("visibilitychange", follow);
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => { if (event.persisted) follow(); });
  show();
}
