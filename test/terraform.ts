/**
 * Terraform without its registry: HashiCorp's own parser (as WebAssembly), and the attributes of each resource as the providers
 * declare them (test/fixtures/terraform-resources.json says from which versions).
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from '@cdktf/hcl2json';

interface Attribute {
  readonly required?: boolean;
  readonly block?: Attributes;
}

type Attributes = Readonly<Record<string, Attribute>>;

const { resources: KNOWN } = JSON.parse(readFileSync(join(import.meta.dirname, 'fixtures/terraform-resources.json'), 'utf8')) as {
  resources: Readonly<Record<string, Attributes>>;
};
/** Of Terraform itself. */
const META = new Set(['lifecycle', 'depends_on', 'count', 'for_each', 'provider']);

interface Parsed {
  readonly resource?: Readonly<Record<string, Readonly<Record<string, readonly object[]>>>>;
  readonly variable?: Readonly<Record<string, unknown>>;
}

/** What is wrong with the files of one folder. @throws when the parser cannot read one */
export async function terraformProblems(files: ReadonlyMap<string, string>): Promise<string[]> {
  const parsed: Parsed[] = [];
  for (const [name, text] of files) parsed.push((await parse(name, text)) as Parsed);
  const declared = new Set(
    parsed.flatMap(({ resource = {} }) => Object.entries(resource).flatMap(([type, named]) => Object.keys(named).map((name) => `${type}.${name}`))),
  );
  const variables = parsed.flatMap(({ variable = {} }) => Object.keys(variable));
  const all = [...files.values()].join('\n');
  const used = [...all.matchAll(/\bvar\.(\w+)/g)].map(([, name]) => name!);
  const references = [...all.matchAll(/\b((?:azurerm|snowflake)_\w+\.\w+)\.\w+/g)].map(([, name]) => name!);
  return [
    ...parsed.flatMap(({ resource = {} }) =>
      Object.entries(resource).flatMap(([type, named]) =>
        Object.entries(named).flatMap(([name, [body]]) =>
          KNOWN[type] === undefined ? [`${type} is not known`] : problemsOf(KNOWN[type], body!, `${type}.${name}`),
        ),
      ),
    ),
    ...used.filter((name) => !variables.includes(name)).map((name) => `var.${name} is not declared`),
    ...variables.filter((name) => !used.includes(name)).map((name) => `var.${name} is not used`),
    ...references.filter((name) => !declared.has(name)).map((name) => `${name} is not declared`),
  ];
}

function problemsOf(known: Attributes, body: object, at: string): string[] {
  const given = Object.entries(body).filter(([name]) => !META.has(name));
  return [
    ...given.filter(([name]) => !(name in known)).map(([name]) => `${at} has no ${name}`),
    ...Object.entries(known)
      .filter(([name, { required }]) => required === true && !(name in body))
      .map(([name]) => `${at} lacks ${name}`),
    ...given.flatMap(([name, value]) => {
      const { block } = known[name] ?? {};
      return block !== undefined && Array.isArray(value) ? value.flatMap((one) => problemsOf(block, one as object, `${at}.${name}`)) : [];
    }),
  ];
}
