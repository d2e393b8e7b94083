// Takes the page anew every five seconds without moving it; nothing else.
setInterval(async () => {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("live");
    if (fresh) document.getElementById("live").replaceWith(fresh);
  } catch {
    document.title = "… " + document.title.replace(/^… /, "");
  }
}, 5000);
