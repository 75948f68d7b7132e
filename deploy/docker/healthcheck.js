// Exit 0 while the sluice of this container is well (a standby is). Needs no curl.
const port = process.env.SLUICE_HTTP__PORT ?? '8080';
fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(4000) }).then(
  (reply) => process.exit(reply.ok ? 0 : 1),
  () => process.exit(1),
);
