/**
 * What lies in a data factory, as resources of a template whose parameter `factoryName` says which factory.
 */
import { expression, type Resource } from './arm.ts';

const API = '2018-06-01';

export function factoryId(kind: string, name: string): string {
  return expression(`resourceId('Microsoft.DataFactory/factories/${kind}', parameters('factoryName'), '${name}')`);
}

export function inFactory(kind: string, name: string, properties: object, dependsOn: readonly string[] = []): Resource {
  return {
    type: `Microsoft.DataFactory/factories/${kind}`,
    apiVersion: API,
    name: expression(`format('{0}/${name}', parameters('factoryName'))`),
    dependsOn,
    properties,
  };
}
