/**
 * An example or two for each command, shown below its help and in docs/cli.md. A command that says its own in `addHelpText` is left alone.
 */
export const COMMAND_EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  init: ['sluice init', 'sluice init --yes --uri \'${MONGODB_URI}\' --include "shop.*" --lake ./lake'],
  demo: ['sluice demo', 'sluice demo --seconds 60 --keep'],
  doctor: ['sluice doctor', 'sluice doctor --json'],
  run: ['sluice run', 'sluice run --until-idle 5', 'sluice run --role load --log-file load.log'],
  status: ['sluice status', 'sluice status --watch', 'sluice status --json'],
  pause: ['sluice pause shop.orders', 'sluice pause "tenant_*.*"'],
  resume: ['sluice resume shop.orders', 'sluice resume'],
  seal: ['sluice seal'],
  load: ['sluice load', 'sluice load --hour 20261121-07', 'sluice load --recent 6'],
  merge: ['sluice merge', 'sluice merge --rebuild shop.orders'],
  query: ['sluice query "from silver.shop__orders limit 10"', 'sluice query --json "select count(*) as n from silver.shop__orders"'],
  discover: ['sluice discover', 'sluice discover --sample 1000'],
  collections: ['sluice collections', 'sluice collections --json'],
  schema: ['sluice schema', 'sluice schema shop.orders', 'sluice schema shop.orders --format json-schema'],
  'schema diff': ['sluice schema diff shop.orders', 'sluice schema diff shop.orders 3 5'],
  verify: ['sluice verify', 'sluice verify --lake --json'],
  snapshot: ['sluice snapshot shop.orders', "sluice snapshot 'shop.*'"],
  dump: ['sluice dump', 'sluice dump shop.orders --content changes --hour 20261121-07'],
  restore: [
    'sluice restore shop.orders --as-of 2026-11-21T07:45:00Z --to file:./orders.ndjson',
    'sluice restore shop.orders --as-of 2026-11-21T07:45:00Z --to mongodb://127.0.0.1/ --into shop.orders_before',
    'sluice restore shop.orders --as-of 2026-11-21T07:45:00Z --to table:restored.orders_20261121',
  ],
  retain: ['sluice retain --dry-run', 'sluice retain'],
  erase: [
    'sluice erase shop.customers --where email=ann@example.org --dry-run',
    'sluice erase shop.customers --key 65f0a1b2c3d4e5f6a7b8c9d0 --reason REQ-17 --yes',
  ],
  compact: ['sluice compact', 'sluice compact shop.orders --to 20261031-23'],
  reshape: ['sluice reshape --from abfss://capture@account.dfs.core.windows.net --then delete', 'sluice reshape --from file:./captured --watch'],
  adopt: ['sluice adopt --from abfss://staging@account.dfs.core.windows.net/shop', 'sluice adopt --from file:./staging'],
  'dead-letters list': ['sluice dead-letters list', 'sluice dead-letters list --json'],
  'dead-letters show': ['sluice dead-letters show p003-00000000000000001234'],
  'dead-letters replay': ['sluice dead-letters replay', 'sluice dead-letters replay p003-00000000000000001234'],
  'enable-images': ['sluice enable-images', 'sluice enable-images --yes'],
  'config check': ['sluice config check'],
  'config schema': ['sluice config schema'],
  'render snowflake': ['sluice render snowflake --out ./rendered/snowflake'],
  completion: ['source <(sluice completion bash)'],
};

export function exampleText(path: string): string | null {
  const lines = COMMAND_EXAMPLES[path];
  return lines === undefined ? null : `\n${lines.length === 1 ? 'Example' : 'Examples'}:\n${lines.map((line) => `  ${line}\n`).join('')}`;
}
