// The reader of the API's description.
const docs = document.getElementById("docs");
const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
colour();
dark.addEventListener("change", colour);
SwaggerUIBundle({
  domNode: docs,
  url: docs.dataset.url,
  deepLinking: true, // /docs#/Library/Library_CreateVideo
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  validatorUrl: null, // no other host is asked
  persistAuthorization: false, // a key is forgotten with the page
});
