/**
 * Azure Resource Manager templates. JSON and not Bicep: `az` takes both, and this one can be checked against Azure's own models
 * (test/azure-models.ts); `az bicep decompile` makes the other one of it.
 */

/** An expression that Azure evaluates. */
export function expression(text: string): string {
  return `[${text}]`;
}

/** A text inside of an expression. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

export interface Parameter {
  readonly type: 'string' | 'int' | 'bool';
  readonly defaultValue?: string | number | boolean;
  readonly allowedValues?: readonly string[];
  readonly minValue?: number;
  readonly maxValue?: number;
  readonly metadata: { readonly description: string };
}

export interface Resource {
  readonly type: string;
  readonly apiVersion: string;
  readonly name: string;
  readonly [key: string]: unknown;
}

export function template(
  parameters: Readonly<Record<string, Parameter>>,
  resources: readonly Resource[],
  outputs: Readonly<Record<string, { readonly type: 'string'; readonly value: string }>>,
): object {
  return {
    $schema: 'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#',
    contentVersion: '1.0.0.0',
    parameters,
    resources,
    outputs,
  };
}

export function parameterFile(values: Readonly<Record<string, string | number | boolean>>): object {
  return {
    $schema: 'https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#',
    contentVersion: '1.0.0.0',
    parameters: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { value }])),
  };
}

/** Built-in roles that only touch data (learn.microsoft.com, Azure built-in roles). */
export const DATA_ROLES = {
  eventHubsSender: '2b629674-e913-4c01-ae53-ef4638d8f975',
  eventHubsReceiver: 'a638d3c7-ab3a-418d-83e6-5f17a39d4fde',
  blobContributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe',
} as const;

/** @param scope expression: the id of what the role is about @param principal expression: the object id of who gets it */
export function roleAssignment(role: string, scope: string, principal: string, rest: object): Resource {
  return {
    type: 'Microsoft.Authorization/roleAssignments',
    apiVersion: '2022-04-01',
    name: expression(`guid(${scope}, ${principal}, ${quoted(role)})`),
    scope: expression(scope),
    ...rest,
    properties: {
      roleDefinitionId: expression(`subscriptionResourceId('Microsoft.Authorization/roleDefinitions', ${quoted(role)})`),
      principalId: expression(principal),
      principalType: 'ServicePrincipal',
    },
  };
}
