// Sets the theme of the last visit before anything is painted; app.js has the button.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // The browser forbids storage: the theme of the system stays.
}
