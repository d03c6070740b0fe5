"use strict";
// Draws the figures of this file, and draws them as wide as the paper while it is printed.
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const config = (name) => ({
    displaylogo: false,
    responsive: true,
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
    toImageButtonOptions: { filename: `${document.title.split(" ")[0]}_${name}`, scale: 2 },
  });
  for (const chart of charts) {
    Plotly.newPlot(chart.id, chart.data, { ...chart.layout, autosize: true }, config(chart.id.replace("chart-", "")));
  }
  const fit = () => {
    for (const chart of charts) Plotly.Plots.resize(chart.id);
  };
  const paper = window.matchMedia("print");
  window.addEventListener("beforeprint", fit);
  window.addEventListener("afterprint", fit);
  paper.addEventListener("change", fit);
})();
