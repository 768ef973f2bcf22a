// Everything comes from where this page comes from: no validator's badge, no
// other document by the query, no key kept in the browser.
window.ui = SwaggerUIBundle({
  dom_id: "#api",
  url: new URL("../openapi.yaml", window.location).href,
  layout: "BaseLayout",
  presets: [SwaggerUIBundle.presets.apis],
  validatorUrl: null,
  queryConfigEnabled: false,
  persistAuthorization: false,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
});
