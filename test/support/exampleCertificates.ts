// The files that the examples name by the environment: `SITE_CERT` and others.
import { Authority } from './certificates.js';

export function exampleCertificates(): Record<string, string> {
  const authority = new Authority();
  const site = authority.issue({ names: ['example.com'] });
  return {
    SITE_CERT: site.certFile,
    SITE_KEY: site.keyFile,
    CLIENTS_CA: authority.certFile,
    ORDERS_CA: authority.certFile,
  };
}
