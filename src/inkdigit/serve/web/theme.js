// The theme that was chosen here before, set before anything is painted; app.js has the button.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is forbidden here: the theme of the system stays.
}
