// keys.lua in Node: LIBRARY SERVICE..., the library being catalog or libperigee.
const [library, ...names] = process.argv.slice(2);
const { Catalog } = require(`../../../examples/clients/node/${library}.js`);

const keyOf = (i) => "k".repeat(i % 70) + (i % 3 === 0 ? "ü" : "") + (i || "");

const catalog = new Catalog();
for (const name of names) {
  const service = catalog.service(name);
  for (let i = 0; i < 1000; i++) {
    const tried = [];
    for (let n = 0; n < 6; n++) {
      tried.push(service.pick({ key: keyOf(i), port: "admin", avoid: tried }));
      service.done(tried[n], "success", 0);
    }
    console.log([name, i, tried.map((e) => `${e.id}:${e.port}`).join(" ")].join("\t"));
  }
}
