"""Reading and writing safetensors files with numpy alone: a length, a JSON header, then the bytes."""

import json
import struct

import numpy

KINDS = {'F64': '<f8', 'F32': '<f4', 'F16': '<f2', 'I64': '<i8', 'I32': '<i4', 'I16': '<i2', 'I8': 'i1', 'U8': 'u1'}
NAMES = {numpy.dtype(kind).str: name for name, kind in KINDS.items()}


def read(path):
    """All tensors of a file as numpy arrays by name."""
    with open(path, 'rb') as file:
        data = file.read()
    (length,) = struct.unpack('<Q', data[:8])
    header = json.loads(data[8 : 8 + length])
    arrays = {}
    for name, entry in header.items():
        if name == '__metadata__':
            continue
        begin, end = (8 + length + offset for offset in entry['data_offsets'])
        if entry['dtype'] == 'BF16':
            flat = (numpy.frombuffer(data[begin:end], '<u2').astype('<u4') << 16).view('<f4')
        else:
            flat = numpy.frombuffer(data[begin:end], KINDS[entry['dtype']])
        arrays[name] = flat.reshape(entry['shape']).copy()
    return arrays


def write(path, arrays):
    """Writes numpy arrays by name."""
    header = {}
    chunks = []
    at = 0
    for name, array in arrays.items():
        chunk = numpy.ascontiguousarray(array).tobytes()
        kind = NAMES[numpy.dtype(array.dtype).newbyteorder('<').str]
        header[name] = {'dtype': kind, 'shape': list(array.shape), 'data_offsets': [at, at + len(chunk)]}
        chunks.append(chunk)
        at += len(chunk)
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text + b''.join(chunks))
