"use strict";
(() => {
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const root = document.documentElement;
  for (const part of all("[data-script]")) part.hidden = false;

  const THEME = "audit-theme";
  const theme = document.getElementById("theme");
  const dressed = (name) => {
    theme.value = name;
    if (name) root.dataset.theme = name;
    else delete root.dataset.theme;
  };
  try {
    dressed(["light", "dark"].find((name) => name === localStorage.getItem(THEME)) ?? "");
  } catch {
    dressed("");
  }
  theme.addEventListener("change", () => {
    dressed(theme.value);
    try {
      localStorage.setItem(THEME, theme.value);
    } catch {}
  });

  const buttons = all("[data-filter]");
  const section = document.getElementById("filter-section");
  const findings = all("#findings [data-verdict]");
  const filtered = () => {
    const wanted = buttons
      .filter((button) => button.getAttribute("aria-pressed") === "true")
      .map((button) => button.dataset.filter);
    let shown = 0;
    for (const finding of findings) {
      const there = !section.value || finding.closest("[data-section]").id === section.value;
      const fits = !wanted.length || wanted.includes(finding.dataset.verdict);
      finding.hidden = !(there && fits);
      shown += finding.hidden ? 0 : 1;
    }
    const some = wanted.length > 0 || section.value !== "";
    for (const group of all("#findings .group, #findings [data-section]"))
      group.hidden = some && !all("[data-verdict]", group).some((finding) => !finding.hidden);
    document.getElementById("filter-count").textContent = some
      ? `${shown} of ${findings.length} findings shown`
      : "";
  };
  for (const button of buttons)
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
      filtered();
    });
  section.addEventListener("change", filtered);

  const unfold = document.getElementById("filter-unfold");
  unfold.addEventListener("click", () => {
    const open = unfold.getAttribute("aria-pressed") !== "true";
    unfold.setAttribute("aria-pressed", open);
    for (const fold of all("#findings details:not(.numbers)")) fold.open = open;
  });

  const arrived = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (!target) return;
    if (target.closest("[hidden]")) {
      for (const button of buttons) button.setAttribute("aria-pressed", "false");
      section.value = "";
      filtered();
    }
    for (let part = target; part; part = part.parentElement)
      if (part instanceof HTMLDetailsElement) part.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", arrived);
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link && link.getAttribute("href") === location.hash) arrived();
  });
  arrived();

  const copied = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const field = document.createElement("textarea");
      field.value = text;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
  };
  for (const code of all("code.command, pre.code")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await copied(code.textContent.trim());
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    code.after(button);
  }
})();
