/** The columns of a Parquet file (apache/parquet-format, "LogicalTypes") under names that people know from Arrow. */

import type { SchemaElement, SchemaTree } from 'hyparquet';

/** A column, or a field inside of one. */
export interface ParquetColumn {
  readonly name: string;
  /** `string`, `int64`, `double`, `timestamp[us]`, `decimal(10, 2)`, `list<string>`, `struct<a: int64>`, `map<...>`. */
  readonly type: string;
  /** Rows may have null here. */
  readonly nullable: boolean;
}

/** The columns at the top of a schema. */
export function columnsOf(root: SchemaTree): readonly ParquetColumn[] {
  return root.children.map((tree) => ({
    name: tree.element.name,
    type: typeName(tree),
    nullable: tree.element.repetition_type !== 'REQUIRED',
  }));
}

function typeName(tree: SchemaTree): string {
  const type = tree.children.length === 0 ? leafName(tree.element) : groupName(tree);
  return tree.element.repetition_type === 'REPEATED' ? `list<${type}>` : type;
}

function groupName({ element, children }: SchemaTree): string {
  const kind = element.logical_type?.type ?? element.converted_type;
  const [inner] = children;
  if (kind === 'LIST' && inner !== undefined && children.length === 1) {
    // Three levels: the list, a repeated group, the element. Older writers leave the middle one out.
    const [only] = inner.children;
    return `list<${inner.children.length === 1 && only !== undefined ? typeName(only) : typeName(inner)}>`;
  }
  if ((kind === 'MAP' || kind === 'MAP_KEY_VALUE') && inner !== undefined) {
    return `map<${inner.children.map(typeName).join(', ')}>`;
  }
  if (kind === 'VARIANT') return 'variant';
  return `struct<${children.map((child) => `${child.element.name}: ${typeName(child)}`).join(', ')}>`;
}

const PHYSICAL: Readonly<Record<string, string>> = {
  BOOLEAN: 'bool',
  INT32: 'int32',
  INT64: 'int64',
  INT96: 'timestamp[ns]',
  FLOAT: 'float',
  DOUBLE: 'double',
  BYTE_ARRAY: 'bytes',
};

const CONVERTED: Readonly<Record<string, string>> = {
  UTF8: 'string',
  ENUM: 'string',
  JSON: 'json',
  BSON: 'bson',
  DATE: 'date',
  TIME_MILLIS: 'time[ms]',
  TIME_MICROS: 'time[us]',
  TIMESTAMP_MILLIS: 'timestamp[ms]',
  TIMESTAMP_MICROS: 'timestamp[us]',
  INTERVAL: 'interval',
};

const UNITS = { MILLIS: 'ms', MICROS: 'us', NANOS: 'ns' } as const;

function leafName(element: SchemaElement): string {
  const logical = element.logical_type;
  switch (logical?.type) {
    case 'STRING':
    case 'ENUM':
      return 'string';
    case 'DECIMAL':
      return `decimal(${logical.precision}, ${logical.scale})`;
    case 'INTEGER':
      return `${logical.isSigned ? 'int' : 'uint'}${logical.bitWidth}`;
    case 'TIME':
      return `time[${UNITS[logical.unit]}]`;
    case 'TIMESTAMP':
      return `timestamp[${UNITS[logical.unit]}]`;
    case undefined:
      break;
    default:
      return logical?.type.toLowerCase() ?? '';
  }
  const { converted_type: converted, type } = element;
  if (converted === 'DECIMAL') return `decimal(${element.precision ?? 0}, ${element.scale ?? 0})`;
  if (converted !== undefined) return CONVERTED[converted] ?? converted.toLowerCase().replace('_', '');
  if (type === 'FIXED_LEN_BYTE_ARRAY') return `bytes[${element.type_length ?? 0}]`;
  return PHYSICAL[type ?? ''] ?? 'unknown';
}
