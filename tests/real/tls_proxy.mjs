// Proxies that end TLS in front of the MCP server. They request a client certificate, and forward it in a header.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { startInstalled } from './installed.mjs';

/** HAProxy, with the header `Client-Cert` of RFC 9440. */
export const haproxy = {
  name: 'HAProxy',
  /** The setting of the MCP server. */
  header: 'rfc9440',
  /** The header, as a client would forge it for the certificate `der`. */
  forged: ({ der }) => ({ 'client-cert': `:${der.toString('base64')}:` }),
  program: 'HAPROXY',
  args: (file) => ['-db', '-f', file],
  configuration: ({ port, target, certificate, ca }) => `defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s

listen tls
    bind 127.0.0.1:${port} ssl crt ${certificate.bundle} ca-file ${ca.path} verify optional
    http-request del-header Client-Cert
    http-request set-header Client-Cert ":%[ssl_c_der,base64]:" if { ssl_c_used }
    server application ${target}
`,
};

/** nginx, with the certificate in percent-encoded PEM. */
export const nginx = {
  name: 'nginx',
  header: 'nginx',
  forged: ({ cert }) => ({ 'ssl-client-cert': encodeURIComponent(cert) }),
  program: 'NGINX',
  args: (file) => ['-p', path.dirname(file), '-e', 'stderr', '-c', file],
  configuration: ({ port, target, certificate, ca }) => `daemon off;
pid nginx.pid;
events {}
http {
    access_log off;
    ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`).join('\n    ')}
    server {
        listen 127.0.0.1:${port} ssl;
        ssl_certificate ${certificate.bundle};
        ssl_certificate_key ${certificate.bundle};
        ssl_client_certificate ${ca.path};
        ssl_verify_client optional;
        location / {
            proxy_set_header ssl-client-cert $ssl_client_escaped_cert;
            proxy_pass http://${target};
        }
    }
}
`,
};

/** Starts one of the proxies above on `port`, in front of the server at the address `target`. */
export function startTlsProxy(t, { program, args, configuration }, options) {
  const directory = mkdtempSync(path.join(tmpdir(), 'proxy-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = path.join(directory, 'proxy.conf');
  writeFileSync(file, configuration(options));
  return startInstalled(t, program, { args: args(file), port: options.port });
}
