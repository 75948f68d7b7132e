/**
 * Checks JSON for Azure against Azure's own models: the serialization tables ("mappers") of its management SDKs name every
 * property of a request, with its type, whether it is required, and the values of an enumeration.
 *
 * Stricter than the service: a property that the tables do not name is told even where the service would let it pass, because
 * that is what a misspelt one looks like. Expressions (`[…]`, `{ type: 'Expression' }`) are taken for any type.
 */
import * as appContainers from '@azure/arm-appcontainers/dist-esm/src/models/mappers.js';
import * as authorization from '@azure/arm-authorization/dist-esm/src/models/mappers.js';
import * as dataFactory from '@azure/arm-datafactory/dist-esm/src/models/mappers.js';
import * as eventHub from '@azure/arm-eventhub/dist-esm/src/models/mappers.js';
import * as storage from '@azure/arm-storage/dist-esm/src/models/mappers.js';

interface MapperType {
  readonly name: string;
  readonly className?: string;
  readonly modelProperties?: Readonly<Record<string, Mapper>>;
  readonly allowedValues?: readonly string[];
  readonly element?: Mapper;
  readonly value?: Mapper;
  readonly polymorphicDiscriminator?: { readonly serializedName: string };
}

interface Mapper {
  readonly serializedName?: string;
  readonly required?: boolean;
  readonly readOnly?: boolean;
  readonly isConstant?: boolean;
  readonly type: MapperType;
}

type Models = Readonly<Record<string, unknown>>;

const text: Mapper = { type: { name: 'String' } };
const named = (serializedName: string, mapper: Mapper, required = false): Mapper => ({ ...mapper, serializedName, required });
/** Younger than the package; from Microsoft's page on the interface SnowflakeV2LinkedService. */
const SNOWFLAKE_V2: Mapper = {
  type: {
    name: 'Composite',
    className: 'SnowflakeV2LinkedService',
    modelProperties: {
      ...(dataFactory as unknown as Record<string, Mapper>)['LinkedService']!.type.modelProperties,
      ...Object.fromEntries(['accountIdentifier', 'database', 'warehouse'].map((name) => [name, named(`typeProperties.${name}`, text, true)])),
      ...Object.fromEntries(['user', 'role', 'schema', 'host'].map((name) => [name, named(`typeProperties.${name}`, text)])),
      authenticationType: named('typeProperties.authenticationType', {
        type: { name: 'Enum', allowedValues: ['Basic', 'KeyPair', 'AADServicePrincipal'] },
      }),
      privateKey: named('typeProperties.privateKey', { type: { name: 'Composite', className: 'SecretBase' } }),
    },
  },
};

const SERVICES = {
  appContainers: appContainers as unknown as Models,
  authorization: authorization as unknown as Models,
  dataFactory: {
    ...(dataFactory as unknown as Models),
    discriminators: { ...dataFactory.discriminators, 'LinkedService.SnowflakeV2': SNOWFLAKE_V2 },
  },
  eventHub: eventHub as unknown as Models,
  storage: storage as unknown as Models,
} as const;

export type Service = keyof typeof SERVICES;

/** What is wrong with `value` as a `model` of the service; none: nothing. */
export function modelProblems(service: Service, model: string, value: unknown): string[] {
  return new Walk(SERVICES[service]).check({ type: { name: 'Composite', className: model } }, value, model);
}

class Walk {
  readonly #models: Models;

  constructor(models: Models) {
    this.#models = models;
  }

  check(mapper: Mapper, value: unknown, at: string): string[] {
    const { type } = mapper;
    if (isExpression(value)) return [];
    if (mapper.readOnly === true) return [`${at} is read-only`];
    switch (type.name) {
      case 'Composite':
        return isObject(value) ? this.#composite(type, value, at) : [`${at} is no object`];
      case 'Sequence':
        if (!Array.isArray(value)) return [`${at} is no list`];
        return value.flatMap((one, i) => this.check(type.element!, one, `${at}[${i}]`));
      case 'Dictionary':
        if (!isObject(value)) return [`${at} is no object`];
        return Object.entries(value).flatMap(([key, one]) => this.check(type.value!, one, `${at}.${key}`));
      case 'Enum':
        return type.allowedValues!.includes(value as string)
          ? []
          : [`${at} is ${JSON.stringify(value)}, not one of ${type.allowedValues!.join(', ')}`];
      case 'Number':
        return typeof value === 'number' ? [] : [`${at} is no number`];
      case 'Boolean':
        return typeof value === 'boolean' ? [] : [`${at} is neither true nor false`];
      case 'String':
      case 'Uuid':
      case 'DateTime':
      case 'TimeSpan':
        return typeof value === 'string' ? [] : [`${at} is no text`];
      default:
        return [];
    }
  }

  #composite(type: MapperType, value: Readonly<Record<string, unknown>>, at: string): string[] {
    const model = this.#model(type, value);
    if (model === null) return [`${at} is no ${type.className}: ${JSON.stringify(value)}`];
    const known = Object.values(model.modelProperties!).map((one) => ({ mapper: one, path: pathOf(one) }));
    const found: string[] = [];
    for (const { mapper, path } of known) {
      const given = path.reduce<unknown>((from, key) => (isObject(from) ? from[key] : undefined), value);
      const name = `${at}.${path.join('.')}`;
      if (given !== undefined) found.push(...this.check(mapper, given, name));
      else if (mapper.required === true && mapper.readOnly !== true && mapper.isConstant !== true) found.push(`${name} is missing`);
    }
    const paths = known.map(({ path }) => path);
    return [...found, ...unknownKeys(value, paths, at)];
  }

  /** By its discriminator, when there are kinds of it. */
  #model(type: MapperType, value: Readonly<Record<string, unknown>>): MapperType | null {
    const base = (this.#models[type.className!] as Mapper | undefined)?.type;
    if (base?.modelProperties === undefined) throw new Error(`no model ${type.className}`);
    const by = base.polymorphicDiscriminator?.serializedName;
    if (by === undefined || typeof value[by] !== 'string') return base;
    const kinds = Object.entries(this.#models['discriminators'] as Readonly<Record<string, Mapper>>);
    const own = Object.keys(base.modelProperties);
    const hit = kinds.find(([key, { type: kind }]) => key.endsWith(`.${String(value[by])}`) && own.every((one) => one in kind.modelProperties!));
    return hit?.[1].type ?? null;
  }
}

/** Properties that the SDK has lifted up stand at `properties.x`; `\.` is a dot of a name. */
function pathOf({ serializedName = '' }: Mapper): string[] {
  return serializedName.split(/(?<!\\)\./).map((part) => part.replaceAll('\\.', '.'));
}

function unknownKeys(value: Readonly<Record<string, unknown>>, paths: readonly (readonly string[])[], at: string): string[] {
  return Object.entries(value).flatMap(([key, inner]) => {
    const below = paths.filter(([first]) => first === key).map((path) => path.slice(1));
    if (below.length === 0) return [`${at}.${key} is not known`];
    return below.every((path) => path.length > 0) && isObject(inner) ? unknownKeys(inner, below, `${at}.${key}`) : [];
  });
}

function isExpression(value: unknown): boolean {
  if (typeof value === 'string') return /^\[(?!\[)[\s\S]*\]$/.test(value);
  return isObject(value) && value['type'] === 'Expression' && typeof value['value'] === 'string';
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

interface ArmResource {
  readonly type: string;
  readonly name: string;
  readonly apiVersion: string;
  readonly [key: string]: unknown;
}

interface ArmTemplate {
  readonly parameters: Readonly<Record<string, { readonly type: string; readonly defaultValue?: unknown }>>;
  readonly resources: readonly ArmResource[];
  readonly outputs: Readonly<Record<string, unknown>>;
}

const RESOURCES: Readonly<Record<string, readonly [service: Service, model: string]>> = {
  'Microsoft.EventHub/namespaces': ['eventHub', 'EHNamespace'],
  'Microsoft.EventHub/namespaces/eventhubs': ['eventHub', 'Eventhub'],
  'Microsoft.EventHub/namespaces/eventhubs/consumergroups': ['eventHub', 'ConsumerGroup'],
  'Microsoft.EventHub/namespaces/eventhubs/authorizationRules': ['eventHub', 'AuthorizationRule'],
  'Microsoft.DataFactory/factories/linkedservices': ['dataFactory', 'LinkedServiceResource'],
  'Microsoft.DataFactory/factories/datasets': ['dataFactory', 'DatasetResource'],
  'Microsoft.DataFactory/factories/dataflows': ['dataFactory', 'DataFlowResource'],
  'Microsoft.DataFactory/factories/pipelines': ['dataFactory', 'PipelineResource'],
  'Microsoft.DataFactory/factories/triggers': ['dataFactory', 'TriggerResource'],
  'Microsoft.App/containerApps': ['appContainers', 'ContainerApp'],
  'Microsoft.Authorization/roleAssignments': ['authorization', 'RoleAssignmentCreateParameters'],
};

/** What every resource of a template may have besides its model. */
const COMMON = new Set(['type', 'apiVersion', 'name', 'dependsOn', 'condition', 'scope']);

/** What is wrong with a template: resources against their models, and every name in an expression against what is declared. */
export function templateProblems(template: unknown, parameterFile: unknown): string[] {
  const { parameters, resources, outputs } = template as ArmTemplate;
  const given = (parameterFile as { parameters: Record<string, { value: unknown }> }).parameters;
  const used = [...JSON.stringify([resources, outputs, parameters]).matchAll(/parameters\('(\w+)'\)/g)].map(([, name]) => name!);
  return [
    ...resources.flatMap((resource) => {
      const [service, model] = RESOURCES[resource.type] ?? [];
      if (service === undefined || model === undefined) return [`${resource.type} is not known`];
      return modelProblems(service, model, Object.fromEntries(Object.entries(resource).filter(([key]) => !COMMON.has(key)))).map(
        (problem) => `${resource.type}: ${problem}`,
      );
    }),
    ...used.filter((name) => !(name in parameters)).map((name) => `parameter ${name} is not declared`),
    ...Object.keys(parameters)
      .filter((name) => !used.includes(name))
      .map((name) => `parameter ${name} is not used`),
    ...Object.keys(given)
      .filter((name) => !(name in parameters))
      .map((name) => `a value for ${name}, which is not declared`),
    ...Object.entries(parameters)
      .filter(([name, { defaultValue }]) => defaultValue === undefined && given[name] === undefined)
      .map(([name]) => `parameter ${name} has no value`),
    ...expressionsOf(template)
      .filter((text) => !isBalanced(text))
      .map((text) => `brackets of ${text}`),
  ];
}

function expressionsOf(value: unknown): string[] {
  if (typeof value === 'string') return isExpression(value) ? [value] : [];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(expressionsOf) : [];
}

function isBalanced(text: string): boolean {
  const bare = text.replaceAll(/'(?:[^']|'')*'/g, '');
  let open = 0;
  for (const char of bare) {
    if (char === '(') open += 1;
    if (char === ')') open -= 1;
    if (open < 0) return false;
  }
  return open === 0 && !bare.includes("'");
}
