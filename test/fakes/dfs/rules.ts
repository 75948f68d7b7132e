/**
 * What the fake believes about ADLS Gen2, and how far each belief can be trusted.
 *
 * Nobody has run this against a real account yet, so a behaviour is worth as much as where it comes from. Every refusal of the fake, and
 * every row of the conformance table, names its rule; `npm run test:azure-live` shows which ones a real account shares.
 *
 * Marks: `recorded` in traffic of Microsoft's own SDK tests; `documented` by Microsoft; `third-party`: another client's code, tests or
 * trace; `probed` here on the SDKs; `unknown`: our choice, the less pleasant one for a client where there was one.
 * Sources: `recordings` where the design page names none;
 * JS, PY, JV, NET = recordings in azure-sdk-for-js, -python, -java, -net; HD = hadoop-azure; CD = cdouglas/iceberg
 * (AdlsFileIOAtomicTest); ERR = error lists of the REST reference; DOC = other pages of the reference, also such as the design page does not
 * name: those were written down without reading each page again. Azurite 3.37.0 gives the same reply to 41 of the 49 rows for flat accounts.
 */
export type Mark = 'recorded' | 'documented' | 'third-party' | 'probed' | 'unknown';

export interface Rule {
  readonly mark: Mark;
  readonly source: string;
  readonly says: string;
  /** Status and code, when the rule is a refusal. */
  readonly refuses?: readonly [number, string];
}

const rule = (mark: Mark, source: string, says: string, refuses?: readonly [number, string]): Rule => ({
  mark,
  source,
  says,
  ...(refuses && { refuses }),
});

const CREATE = {
  'create.new': rule('recorded', 'recordings', '201, ETag, Last-Modified, empty body'),
  'create.exists': rule('recorded', 'JS createifnotexists', 'exists and If-None-Match: *', [409, 'PathAlreadyExists']),
  'create.truncates': rule('documented', 'DOC Path Create', 'exists, no condition: a new, empty file'),
  'create.none-match-current': rule('recorded', 'JV createacfail[3]', 'If-None-Match: <current>', [412, 'ConditionNotMet']),
  'create.leased-wrong-id': rule('recorded', 'JV createacfail[4]', 'leased, another id', [412, 'LeaseIdMismatch']),
  'create.leased-right-id': rule('recorded', 'PY create_file_with_lease_id', 'leased, right id: 201, the lease is kept'),
  'create.leased-no-id': rule('documented', 'ERR', 'leased, no id', [412, 'LeaseIdMissing']),
  'create.metadata': rule('recorded', 'recordings', 'x-ms-properties (base64 of UTF-8) is read back as x-ms-meta-*'),
  'create.content-type': rule('recorded', 'recordings', 'x-ms-content-type is kept; the default is application/octet-stream'),
  'create.lease': rule('recorded', 'recordings', 'x-ms-proposed-lease-id with x-ms-lease-duration takes a lease at create'),
  'create.parents': rule('third-party', 'HD', 'missing parents are made'),
  'create.path-conflict': rule('documented', 'ERR', 'a parent is a file, or a directory is where the file should be', [409, 'PathConflict']),
} as const;

const APPEND = {
  'append.staged': rule('recorded', 'recordings', '202, no ETag; ETag and length of the file do not change'),
  'append.flush': rule('recorded', 'recordings', 'flush=true: 202, ETag, Last-Modified; committed'),
  'append.content-type': rule('recorded', 'recordings', 'on a file made without a content type flush=true sets it to the one of the PATCH'),
  'append.same-position': rule('third-party', 'CD, status recorded PY append_data_lease_action', 'same position again: replaces bytes and length'),
  'append.below-committed': rule('recorded', 'PY flush_data_lease_action', 'a position below the committed length is accepted, 202'),
  'append.below-committed-bytes': rule('unknown', '', 'other bytes below the committed length: they replace what is there, at the next flush'),
  'append.replay': rule('recorded', 'recordings', 'flush=true again with committed = position + length: 202, same length, new ETag'),
  'append.replay-late': rule('unknown', '', 'the same replay after later commits', [400, 'InvalidFlushPosition']),
  'append.gap': rule('documented', 'DOC Path Update', 'a gap without flush is accepted (parallel upload)'),
  'append.gap-flush': rule('third-party', 'apache/opendal#6383', 'a gap with flush=true', [400, 'InvalidFlushPosition']),
  'append.empty': rule('recorded', 'NET EmptyStream', 'empty body, detail Content-Length', [400, 'InvalidHeaderValue']),
  'append.missing': rule('recorded', 'recordings', 'missing file', [404, 'PathNotFound']),
  'append.directory': rule('unknown', '', 'a directory', [409, 'InvalidAppendOperation']),
  'append.leased-no-id': rule('recorded', 'recordings', 'leased, no id', [412, 'LeaseIdMissing']),
  'append.leased-wrong-id': rule('recorded', 'recordings', 'leased, another id', [412, 'LeaseIdMismatch']),
  'append.id-no-lease': rule('recorded', 'recordings', 'an id, but no lease', [412, 'LeaseNotPresent']),
  'append.lease-lost': rule('documented', 'ERR', 'the id of a lease that expired or was broken', [412, 'LeaseLost']),
  'append.md5': rule('recorded', 'JV appenddatamd5', 'Content-MD5 comes back on 202'),
  'append.md5-mismatch': rule('third-party', 'HD', 'other bytes than Content-MD5 says', [400, 'Md5Mismatch']),
  'append.too-large': rule('documented', 'ERR', 'over 4000 MiB', [413, 'RequestBodyTooLarge']),
  'append.if-match': rule('unknown', '', 'an append with flush=true and a stale If-Match (the SDK sends none)', [412, 'ConditionNotMet']),
  'append.lease-acquire': rule('recorded', 'PY append_data_lease_action', 'x-ms-lease-action: acquire; later calls need the id'),
  'append.lease-renew': rule('recorded', 'recordings', 'x-ms-lease-action: auto-renew, reply x-ms-lease-renewed'),
  'append.lease-release': rule('recorded', 'recordings', 'x-ms-lease-action: release and acquire-release, on append with flush=true'),
  'append.lease-held': rule('third-party', 'CD', 'acquire while another holds it; nothing is staged', [409, 'LeaseAlreadyPresent']),
  'append.blob-written': rule('third-party', 'trace in a Hadoop fork, Apache Hop', 'a block blob that Put Blob wrote', [
    409,
    'InvalidAppendOperation',
  ]),
  'append.append-blob-replay': rule('third-party', 'HD', 'another position than the end of an append blob', [400, 'InvalidQueryParameterValue']),
} as const;

const FLUSH = {
  'flush.commits': rule('recorded', 'recordings', '200, ETag, Last-Modified, length N'),
  'flush.hole': rule('documented', 'ERR; live in fluent-plugin-azurestorage-gen2#5', 'a hole, or N beyond what is staged', [
    400,
    'InvalidFlushPosition',
  ]),
  'flush.again': rule('third-party', 'HD; recorded for N = 0', 'N = committed, nothing staged: 200, new ETag'),
  'flush.below-committed': rule('unknown', '', 'N below the committed length', [400, 'InvalidFlushPosition']),
  'flush.if-match': rule('recorded', 'PY flush_data_with_match_condition', 'stale If-Match', [412, 'ConditionNotMet']),
  'flush.if-match-old': rule('recorded', 'recordings', 'an ETag from before the append still satisfies If-Match'),
  'flush.none-match-current': rule('recorded', 'JV flushacfail[3]', 'If-None-Match = current: no body', [304, 'ConditionNotMet']),
  'flush.missing': rule('recorded', 'recordings', 'missing file', [404, 'PathNotFound']),
  'flush.drops': rule('documented', 'DOC Path Update', 'retainUncommittedData=false (default): what is staged beyond N is dropped'),
  'flush.retains': rule('documented', 'DOC Path Update', 'retainUncommittedData=true keeps it'),
  'flush.close': rule('documented', 'DOC Path Update', 'close=true marks the event as final; it seals nothing'),
  'flush.blob-written': rule('documented', 'ERR', 'a block blob that Put Blob wrote', [409, 'InvalidFlushOperation']),
  'flush.orphan': rule(
    'third-party',
    'CD',
    'what a dead writer staged is seen by no reader; the next append at the committed length replaces it whole',
  ),
} as const;

const PATHS = {
  'rename.moves': rule('recorded', 'PY rename_file_to_existing_file', '201, no ETag; ETag and content move along; replaces a file without asking'),
  'rename.exists': rule('third-party', 'HD', 'target exists and If-None-Match: *', [409, 'PathAlreadyExists']),
  'rename.none-match-current': rule('recorded', 'JV renamedestacfail[3]', 'If-None-Match: <current> of the target', [412, 'ConditionNotMet']),
  'rename.source-lease': rule('recorded', 'recordings', 'source leased, another x-ms-source-lease-id', [412, 'LeaseIdMismatch']),
  'rename.no-source': rule('documented', 'ERR', 'no source', [404, 'SourcePathNotFound']),
  'rename.no-parent': rule('documented', 'ERR', "the target's parent is missing", [404, 'RenameDestinationParentPathNotFound']),
  'rename.source-etag': rule('documented', 'ERR', 'stale x-ms-source-if-match', [412, 'SourceConditionNotMet']),
  'delete.done': rule('recorded', 'recordings', '200, x-ms-delete-type-permanent: true'),
  'delete.missing': rule('recorded', 'recordings', 'missing path or parent', [404, 'PathNotFound']),
  'delete.not-empty': rule('documented', 'ERR', 'a directory with content, without recursive', [409, 'DirectoryNotEmpty']),
  'delete.leased-no-id': rule('recorded', 'recordings', 'leased, no id', [412, 'LeaseIdMissing']),
  'delete.pages': rule('documented', 'DOC Path Delete', 'a large recursive delete goes on by x-ms-continuation'),
  'list.shape': rule('recorded', 'recordings', 'numbers and booleans are strings, ETags bare, isDirectory absent on files, names from the root'),
  'list.pages': rule('recorded', 'recordings', 'x-ms-continuation in the reply goes on as continuation'),
  'list.order': rule('recorded', 'NET GetPathsAsync_Recursive', 'depth first by name, a parent before its children'),
  'list.order-dash': rule('unknown', '', 'a/… before a-b (segment by segment)'),
  'list.missing': rule('documented', 'ERR', 'a missing directory', [404, 'PathNotFound']),
  'head.directory': rule('recorded', 'recordings; the resource type is documented', 'x-ms-meta-hdi_isfolder: true, x-ms-resource-type: directory'),
  'head.parent-etag': rule('recorded', 'recordings', "a new child leaves its parent's ETag alone"),
  'dfs.error': rule('recorded', 'recordings', 'JSON, x-ms-error-code, message ends with RequestId and Time'),
  'dfs.encrypted': rule('recorded', 'recordings', 'x-ms-request-server-encrypted: true on create and append, false on flush'),
  'dfs.method': rule('documented', 'ERR', 'an action that does not exist', [400, 'InvalidQueryParameterValue']),
  'dfs.parameter': rule('documented', 'ERR', 'a query parameter is missing', [400, 'MissingRequiredQueryParameter']),
  'immutable.dfs': rule('third-party', 'error codes of azure-sdk-for-go', 'an immutability policy, through DFS', [409, 'PathImmutableDueToPolicy']),
  'flat.acl': rule('third-party', 'Apache Arrow (CheckIfHierarchicalNamespaceIsEnabled)', 'access control on a flat account', [
    400,
    'HierarchicalNamespaceNotEnabled',
  ]),
  'flat.path': rule('unknown', '', 'other path operations on a flat account', [400, 'HierarchicalNamespaceNotEnabled']),
} as const;

const CONTAINERS = {
  'filesystem.exists': rule('documented', 'ERR', 'exists', [409, 'FilesystemAlreadyExists']),
  'filesystem.missing': rule('documented', 'ERR', 'missing', [404, 'FilesystemNotFound']),
  'filesystem.being-deleted': rule('documented', 'ERR', 'deleted less than 30 s ago, created again', [409, 'FilesystemBeingDeleted']),
  'filesystem.namespace': rule('documented', 'DOC Filesystem Get Properties', 'HEAD shows x-ms-namespace-enabled'),
  'container.exists': rule('documented', 'DOC Create Container', 'exists', [409, 'ContainerAlreadyExists']),
  'container.missing': rule('documented', 'DOC', 'missing', [404, 'ContainerNotFound']),
  'container.being-deleted': rule('documented', 'DOC Delete Container', 'deleted less than 30 s ago, created again', [409, 'ContainerBeingDeleted']),
  'container.name': rule('documented', 'DOC naming', 'a name that breaks the rules', [400, 'InvalidResourceName']),
  'account.info': rule('documented', 'DOC Get Account Information', 'x-ms-is-hns-enabled, x-ms-sku-name, x-ms-account-kind'),
  'blobs.list': rule('documented', 'DOC List Blobs', 'XML, prefix, delimiter, NextMarker'),
} as const;

const BLOBS = {
  'blob.error': rule('recorded', 'recordings', 'XML <Error>, x-ms-error-code'),
  'blob.put': rule('documented', 'DOC Put Blob', '201, ETag, Content-MD5; replaces as a whole'),
  'blob.exists': rule('documented', 'DOC Put Blob', 'exists and If-None-Match: *', [409, 'BlobAlreadyExists']),
  'blob.if-match': rule('documented', 'DOC conditional headers', 'stale If-Match, also when the blob is missing', [412, 'ConditionNotMet']),
  'blob.not-modified': rule('documented', 'DOC conditional headers', 'a read with If-None-Match = current', [304, 'ConditionNotMet']),
  'blob.missing': rule('recorded', 'recordings', 'missing', [404, 'BlobNotFound']),
  'blob.range': rule('documented', 'DOC Get Blob', '206, Content-Range; x-ms-range before Range'),
  'blob.range-beyond': rule('documented', 'DOC Get Blob', 'a range that begins at or after the end', [416, 'InvalidRange']),
  'blob.md5-mismatch': rule('documented', 'DOC Put Blob', 'other bytes than Content-MD5 says', [400, 'Md5Mismatch']),
  'blob.leased-no-id': rule('documented', 'DOC Lease Blob', 'a write without the id', [412, 'LeaseIdMissing']),
  'blob.leased-wrong-id': rule('documented', 'DOC Lease Blob', 'another id', [412, 'LeaseIdMismatchWithBlobOperation']),
  'blob.id-no-lease': rule('documented', 'DOC Lease Blob', 'an id, but no lease', [412, 'LeaseNotPresentWithBlobOperation']),
  'blob.lease-lost': rule('documented', 'DOC Lease Blob', 'the id of a lease that expired or was broken', [412, 'LeaseLost']),
  'blob.directory': rule('unknown', '', 'a write of a blob where a directory is', [409, 'ResourceTypeMismatch']),
  'blob.parent-file': rule('unknown', '', 'a write of a blob below a file', [409, 'ResourceTypeMismatch']),
  'blob.type': rule('documented', 'DOC Append Block', 'not an append blob', [409, 'InvalidBlobType']),
  'blob.put-block-on-dfs': rule('third-party', 'Apache Hop', 'Put Block on a file that DFS wrote', [409, 'BlobOperationNotSupported']),
  'blob.create-only': rule('documented', 'DOC service SAS', 'an overwrite with the right to create alone', [403, 'UnauthorizedBlobOverwrite']),
  'blob.delete-directory': rule('third-party', 'issues of the SDKs', 'Delete Blob on a directory with content', [409, 'DirectoryIsNotEmpty']),
  'blob.overwrites-dfs': rule('documented', 'DOC multi-protocol access', 'Put Blob may replace a file that DFS wrote'),
  'immutable.blob': rule('documented', 'error codes of the SDKs', 'an immutability policy', [409, 'BlobImmutableDueToPolicy']),
  'append-blob.appends': rule(
    'documented',
    'DOC Append Block; hierarchical accounts since 2021, no recording seen',
    '201, ETag, x-ms-blob-append-offset, x-ms-blob-committed-block-count; on hierarchical accounts too',
  ),
  'append-blob.position': rule('documented', 'DOC Append Block', 'x-ms-blob-condition-appendpos is not the end', [
    412,
    'AppendPositionConditionNotMet',
  ]),
  'append-blob.max-size': rule('documented', 'DOC Append Block', 'would pass x-ms-blob-condition-maxsize', [412, 'MaxBlobSizeConditionNotMet']),
  'append-blob.blocks': rule('documented', 'DOC Append Block', 'block 50,001', [409, 'BlockCountExceedsLimit']),
  'append-blob.too-large': rule('documented', 'DOC Append Block', 'over 100 MiB (4 MiB before 2022-11-02)', [413, 'RequestBodyTooLarge']),
  'append-blob.empty': rule('unknown', '', 'empty body', [400, 'InvalidHeaderValue']),
  'append-blob.seal': rule('unknown', 'azure-docs#125673 for the refusal, not for its code', 'Append Blob Seal on a hierarchical account', [
    409,
    'FeatureNotYetSupportedForHierarchicalNamespaceAccounts',
  ]),
} as const;

const LEASES = {
  'lease.acquire': rule('recorded', 'recordings', '201, x-ms-lease-id; ETag unchanged'),
  'lease.seconds': rule('documented', 'DOC Lease Blob', '15 to 60 s or -1', [400, 'InvalidHeaderValue']),
  'lease.held': rule('documented', 'DOC Lease Blob', 'held with another id', [409, 'LeaseAlreadyPresent']),
  'lease.same-id': rule('documented', 'DOC Lease Blob', 'acquire with the id that holds it: 201, the time starts anew'),
  'lease.breaking': rule('third-party', 'Azurite', 'acquire with the id that is being broken', [409, 'LeaseIsBreakingAndCannotBeAcquired']),
  'lease.missing': rule('recorded', 'recordings', 'missing blob', [404, 'BlobNotFound']),
  'lease.other-id': rule('documented', 'DOC Lease Blob', 'renew, change or release with another id', [409, 'LeaseIdMismatchWithLeaseOperation']),
  'lease.none': rule('documented', 'DOC Lease Blob', 'renew, change, release or break, but there is no lease', [
    409,
    'LeaseNotPresentWithLeaseOperation',
  ]),
  'lease.broken': rule('third-party', 'Azurite', 'renew of a broken lease', [409, 'LeaseIsBrokenAndCannotBeRenewed']),
  'lease.breaking-change': rule('third-party', 'Azurite', 'change of a lease that is being broken', [409, 'LeaseIsBreakingAndCannotBeChanged']),
  'lease.renew': rule('documented', 'DOC Lease Blob', '200; also after it expired, while nobody wrote or leased since'),
  'lease.change': rule('documented', 'DOC Lease Blob; the repeat third-party: Azurite', '200; again with the same two ids: 200'),
  'lease.break': rule('recorded', 'recordings', '202, x-ms-lease-time; breaking and locked, later broken and unlocked'),
  'lease.release': rule('documented', 'DOC Lease Blob', '200, available at once'),
  'lease.state': rule('documented', 'DOC Lease Blob', 'HEAD shows state, status, duration'),
  'lease.expires': rule('documented', 'DOC Lease Blob', 'after its seconds anyone may write or acquire'),
} as const;

const AUTH = {
  'auth.signature': rule('documented', 'DOC Shared Key', 'a wrong key or signature, or an expired SAS', [403, 'AuthenticationFailed']),
  'auth.none': rule('documented', 'DOC', 'no authentication at all', [401, 'NoAuthenticationInformation']),
  'auth.token': rule('documented', 'DOC', 'a token that is not valid', [401, 'InvalidAuthenticationInfo']),
  'auth.permission': rule('documented', 'DOC', 'a right is missing: SAS or role', [403, 'AuthorizationPermissionMismatch']),
  'auth.account-info': rule(
    'documented',
    'Azure SDK blog, August 2025',
    'Get Account Information with a role for data alone: it takes blobServices/getInfo/action',
    [403, 'AuthorizationPermissionMismatch'],
  ),
  'auth.resource-type': rule('documented', 'DOC account SAS', 'a resource type that the account SAS does not name', [
    403,
    'AuthorizationResourceTypeMismatch',
  ]),
  'auth.service': rule('documented', 'DOC account SAS', 'a service that the account SAS does not name', [403, 'AuthorizationServiceMismatch']),
  'auth.protocol': rule('documented', 'DOC SAS', 'http with spr=https', [403, 'AuthorizationProtocolMismatch']),
  'auth.scope': rule('unknown', '', 'an operation on the container or account with a service SAS', [403, 'AuthorizationFailure']),
  'auth.path-style': rule('probed', 'SDK 12.31.0', 'the canonical resource is /account + URL path; zero Content-Length signs as empty'),
  'fake.not-built': rule('unknown', '', 'the fake does not do this', [501, 'NotImplementedByTheFake']),
} as const;

export const RULES = { ...CREATE, ...APPEND, ...FLUSH, ...PATHS, ...CONTAINERS, ...BLOBS, ...LEASES, ...AUTH } satisfies Record<string, Rule>;

export type RuleName = keyof typeof RULES;
