// A configuration as a module: endpoints and paths are computed. A .ts file works the same way, and is checked by its types.
// tidegate run -c examples/tidegate.config.mjs
import { defineConfig } from 'tidegate';

const services = ['orders', 'invoices', 'customers'];

export default defineConfig(({ env }) => ({
  listeners: [{ name: 'public', bind: `0.0.0.0:${env.PORT ?? '8080'}` }],
  routes: services.map((name) => ({
    name,
    match: { host: 'api.example.com', path: `/${name}/*` },
    rewrite: { stripPrefix: `/${name}` },
    upstream: name,
  })),
  upstreams: services.map((name, index) => ({
    name,
    endpoints: [`10.0.${index}.11:9000`, `10.0.${index}.12:9000`],
  })),
}));
