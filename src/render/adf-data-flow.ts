/**
 * A mapping data flow of Data Factory over files of Event Hubs Capture, for those who have nothing but Data Factory to look with.
 *
 * It makes files to look into, not a lake: no ledger, no checkpoint, order within a file alone, and lines that were too large for the hub
 * are missing. What it does promise: a window of Capture is one folder, which a repeated run writes anew; within a window an event is there
 * once. Whoever needs more runs `sluice reshape` (or the job of `sluice render spark`) on the same files.
 */
import { expression, template, type Parameter, type Resource } from './arm.ts';
import { factoryId, inFactory } from './factory.ts';
import { jsonFile, scriptFile, type TextFile } from './text-file.ts';

const STORAGE = 'sluice_capture_storage';
const FILES = 'sluice_capture_files';
const LINES = 'sluice_capture_lines';
const FLOW = 'sluice_capture_flow';
const PIPELINE = 'sluice_capture';
const TRIGGER = 'sluice_capture_hourly';

interface Place {
  readonly account: string;
  readonly container: string;
  /** With its slash at the end; empty: the root. */
  readonly prefix: string;
}

export interface DataFlowPlan {
  readonly pipeline: string;
  readonly capture: Place;
  readonly to: Place;
}

export function renderDataFlow(plan: DataFlowPlan): readonly TextFile[] {
  return [
    jsonFile('capture-flow.json', template(PARAMETERS, resourcesOf(plan), {})),
    scriptFile(
      'deploy-capture-flow.sh',
      [
        `A data flow over Capture files for the pipeline ${plan.pipeline}: files to look into, not a lake. Written by \`sluice render adf\`; may run again.`,
        'Needs az with its extension datafactory, and a factory whose identity is Storage Blob Data Contributor on both containers.',
        'RESOURCE_GROUP=… FACTORY=… NAMESPACE=<Event Hubs namespace> HUB=<hub> sh deploy-capture-flow.sh',
      ],
      [
        ': "${RESOURCE_GROUP:?}" "${FACTORY:?}" "${NAMESPACE:?}" "${HUB:?}"',
        '',
        '# A trigger that runs cannot be changed.',
        `az datafactory trigger stop --resource-group "$RESOURCE_GROUP" --factory-name "$FACTORY" --name ${TRIGGER} 2>/dev/null || true`,
        'az deployment group create --name sluice-capture-flow --resource-group "$RESOURCE_GROUP" --confirm-with-what-if \\',
        '  --template-file "$here/capture-flow.json" --parameters factoryName="$FACTORY" namespace="$NAMESPACE" hub="$HUB"',
        `az datafactory trigger start --resource-group "$RESOURCE_GROUP" --factory-name "$FACTORY" --name ${TRIGGER}`,
      ],
    ),
  ];
}

const PARAMETERS: Record<string, Parameter> = {
  factoryName: { type: 'string', metadata: { description: 'The data factory; it must exist.' } },
  namespace: { type: 'string', metadata: { description: 'Event Hubs namespace, as it stands in the names of the files.' } },
  hub: { type: 'string', metadata: { description: 'Event hub, as it stands in the names of the files.' } },
};

function resourcesOf({ pipeline, capture, to }: DataFlowPlan): Resource[] {
  const storage = (place: Place, which: string): Resource =>
    // Without a key: the factory's own identity.
    inFactory('linkedservices', `${STORAGE}_${which}`, {
      type: 'AzureBlobFS',
      typeProperties: { url: `https://${place.account}.dfs.core.windows.net` },
    });
  return [
    storage(capture, 'from'),
    storage(to, 'to'),
    inFactory('datasets', FILES, datasetOf('Avro', capture, 'from', {}), [factoryId('linkedservices', `${STORAGE}_from`)]),
    inFactory('datasets', LINES, { ...datasetOf('DelimitedText', to, 'to', WHOLE_LINES), parameters: { folder: { type: 'String' } } }, [
      factoryId('linkedservices', `${STORAGE}_to`),
    ]),
    inFactory('dataflows', FLOW, flowOf(), [factoryId('datasets', FILES), factoryId('datasets', LINES)]),
    inFactory('pipelines', PIPELINE, pipelineOf(pipeline, capture, to), [factoryId('dataflows', FLOW)]),
    inFactory('triggers', TRIGGER, TRIGGER_OF, [factoryId('pipelines', PIPELINE)]),
  ];
}

/** A column that is the line: no character of one is this delimiter, and none is quoted. */
const WHOLE_LINES = { columnDelimiter: '\u0001', rowDelimiter: '\n', quoteChar: '', escapeChar: '', firstRowAsHeader: false };

function datasetOf(type: 'Avro' | 'DelimitedText', { container }: Place, which: string, how: object): object {
  // A window has a folder of its own.
  const folder = type === 'Avro' ? {} : { folderPath: { value: '@dataset().folder', type: 'Expression' } };
  return {
    type,
    linkedServiceName: { referenceName: `${STORAGE}_${which}`, type: 'LinkedServiceReference' },
    typeProperties: { location: { type: 'AzureBlobFSLocation', fileSystem: container, ...folder }, ...how },
    schema: [],
  };
}

function flowOf(): object {
  return {
    type: 'MappingDataFlow',
    description: 'Files of Event Hubs Capture to lines by collection and hour: to look into, not a lake',
    typeProperties: {
      sources: [{ name: 'Capture', dataset: { referenceName: FILES, type: 'DatasetReference' } }],
      sinks: [{ name: 'Lines', dataset: { referenceName: LINES, type: 'DatasetReference' } }],
      transformations: ['Text', 'Events', 'Facts', 'Once', 'Placed', 'InOrder'].map((name) => ({ name })),
      scriptLines: SCRIPT,
    },
  };
}

/**
 * `_meta` begins the line, so that the first match is sluice's own. Watermarks have no body, and neither have messages that went by claim.
 * A repetition has the position of the event.
 */
export const SCRIPT: readonly string[] = [
  'parameters{',
  '     files as string',
  '}',
  'source(output(',
  '          SequenceNumber as long,',
  '          Body as binary',
  '     ),',
  '     allowSchemaDrift: false,',
  '     validateSchema: false,',
  '     ignoreNoFilesFound: true,',
  '     wildcardPaths:[($files)]) ~> Capture',
  'Capture derive(line = toString(Body)) ~> Text',
  `Text filter(startsWith(line, '{"_meta":{"position":"')) ~> Events`,
  `Events derive(position = regexExtract(line, '"position":"([^"]+)"', 1),`,
  `          db = regexExtract(line, '"ns":[{]"db":"([^"]+)"', 1),`,
  `          coll = regexExtract(line, '"ns":[{]"db":"[^"]+","coll":"([^"]+)"', 1),`,
  `          at = regexExtract(line, '"at":"([^"]+)"', 1)) ~> Facts`,
  'Facts aggregate(groupBy(position),',
  '     line = first(line),',
  '          db = first(db),',
  '          coll = first(coll),',
  '          at = first(at)) ~> Once',
  "Once derive(coll = iif(isNull(coll) || coll == '', '_database', coll),",
  '          year = substring(at, 1, 4),',
  '          month = substring(at, 6, 2),',
  '          day = substring(at, 9, 2),',
  '          hour = substring(at, 12, 2)) ~> Placed',
  'Placed sort(asc(position, true)) ~> InOrder',
  'InOrder sink(allowSchemaDrift: false,',
  '     validateSchema: false,',
  '     input(',
  '          line as string',
  '     ),',
  '     truncate: true,',
  '     umask: 0022,',
  '     mapColumn(',
  '          line',
  '     ),',
  "     partitionBy('key',",
  '          0,',
  '          db,',
  '          coll,',
  '          year,',
  '          month,',
  '          day,',
  '          hour',
  '     )) ~> Lines',
];

function pipelineOf(name: string, capture: Place, to: Place): object {
  const hour = "formatDateTime(pipeline().parameters.window, 'yyyy/MM/dd/HH')";
  const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;
  // Parameters of a data flow are expressions of its own: a text stands in quotes.
  const files = `@concat('''', ${quoted(capture.prefix)}, pipeline().parameters.namespace, '/', pipeline().parameters.hub, '/*/', ${hour}, '/*/*.avro''')`;
  const folder = `@concat(${quoted(to.prefix)}, 'captured=', formatDateTime(pipeline().parameters.window, 'yyyyMMddHH'))`;
  return {
    description: `sluice, pipeline ${name}: an hour of Capture files into lines by collection and hour. To look into, not a lake`,
    concurrency: 4,
    parameters: {
      window: { type: 'String' },
      namespace: { type: 'String', defaultValue: expression("parameters('namespace')") },
      hub: { type: 'String', defaultValue: expression("parameters('hub')") },
    },
    activities: [
      {
        name: 'Reshape',
        type: 'ExecuteDataFlow',
        dependsOn: [],
        policy: { timeout: '0.02:00:00', retry: 2, retryIntervalInSeconds: 120 },
        typeProperties: {
          dataFlow: {
            referenceName: FLOW,
            type: 'DataFlowReference',
            parameters: { files: { value: files, type: 'Expression' } },
            datasetParameters: { Lines: { folder: { value: folder, type: 'Expression' } } },
          },
          compute: { computeType: 'General', coreCount: 8 },
          traceLevel: 'Coarse',
        },
      },
    ],
  };
}

/** Capture closes a file within its window, 15 minutes at most. */
const TRIGGER_OF = {
  type: 'TumblingWindowTrigger',
  description: 'Each hour of Capture, once its files are closed',
  pipeline: {
    pipelineReference: { referenceName: PIPELINE, type: 'PipelineReference' },
    parameters: { window: { type: 'Expression', value: '@trigger().outputs.windowStartTime' } },
  },
  typeProperties: {
    frequency: 'Hour',
    interval: 1,
    startTime: '2026-01-01T00:00:00Z',
    delay: '00:20:00',
    maxConcurrency: 4,
    retryPolicy: { count: 2, intervalInSeconds: 300 },
  },
};
