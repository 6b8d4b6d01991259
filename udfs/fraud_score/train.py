"""Trains the model of fraud_score in a second: logistic regression over transactions, by gradient descent.

    python3 udfs/fraud_score/train.py          writes model.json and model.onnx beside it

The transactions are those of sql/data; that some of them are fraud is made up here: large purchases at night, with noise.
Put your own rows and labels into `examples` and nothing else changes.
"""
import json, math, pathlib, random, struct

HERE = pathlib.Path(__file__).parent
STOCKS = ["AAPL", "AMZN", "GOOG", "INTC", "MSFT", "TSLA"]


def features(amount, stock, seconds):
    """What the model sees of a transaction: also used where it predicts."""
    hour = seconds // 3600 % 24
    night = 1.0 if hour < 6 or hour >= 22 else 0.0
    return [amount / 100, night, amount / 100 * night] + [1.0 if stock == s else 0.0 for s in STOCKS]


def examples():
    random.seed(7)
    known = [json.loads(line) for line in open(HERE / "../../sql/data/transactions.jsonl")]
    for _ in range(20):
        for one in known:
            amount, stock = one["amount_obtained"], one["stock_purchased"]
            seconds = one["timestamp"] + random.randrange(86400)
            hour = seconds // 3600 % 24
            risk = 0.9 if amount > 70 and (hour < 6 or hour >= 22) else 0.02
            yield features(amount, stock, seconds), 1.0 if random.random() < risk else 0.0


def predict(model, row):
    z = model["bias"] + sum(w * x for w, x in zip(model["weights"], row))
    return 1 / (1 + math.exp(-z))


def train():
    rows = list(examples())
    model = {"bias": 0.0, "weights": [0.0] * len(rows[0][0])}
    for epoch in range(30):
        random.shuffle(rows)
        for row, label in rows:
            step = 0.3 / (1 + epoch) * (label - predict(model, row))
            model["bias"] += step
            model["weights"] = [w + step * x for w, x in zip(model["weights"], row)]
    right = sum((predict(model, row) > 0.5) == (label > 0.5) for row, label in rows)
    model = {"bias": round(model["bias"], 4), "weights": [round(w, 4) for w in model["weights"]]}
    return model, right / len(rows)


def onnx(model):
    """The model as ONNX: score = Sigmoid(MatMul(features, weights) + bias), with rows of any number. The format is protobuf,
    and this little of it needs no package."""

    def varint(n):
        out = b""
        while n > 127:
            out, n = out + bytes([n & 127 | 128]), n >> 7
        return out + bytes([n])

    def field(number, value):
        if isinstance(value, int):
            return varint(number << 3) + varint(value)
        value = value.encode() if isinstance(value, str) else value
        return varint(number << 3 | 2) + varint(len(value)) + value

    def message(*fields):
        return b"".join(field(number, value) for number, value in fields)

    def tensor(name, shape, numbers):
        data = struct.pack(f"<{len(numbers)}f", *numbers)
        return message(*((1, n) for n in shape), (2, 1), (8, name), (9, data))

    def node(kind, inputs, output):
        return message(*((1, i) for i in inputs), (2, output), (4, kind))

    def value(name, width):
        dims = message((1, message((2, "rows")))) + message((1, message((1, width))))
        return message((1, name), (2, message((1, message((1, 1), (2, dims))))))

    width = len(model["weights"])
    graph = message(
        (1, node("MatMul", ["features", "weights"], "product")),
        (1, node("Add", ["product", "bias"], "logit")),
        (1, node("Sigmoid", ["logit"], "score")),
        (2, "fraud"),
        (5, tensor("weights", [width, 1], model["weights"])),
        (5, tensor("bias", [1], [model["bias"]])),
        (11, value("features", width)),
        (12, value("score", 1)),
    )
    return message((1, 8), (7, graph), (8, message((1, ""), (2, 13))))


if __name__ == "__main__":
    model, right = train()
    (HERE / "model.json").write_text(json.dumps(model) + "\n")
    (HERE / "model.onnx").write_bytes(onnx(model))
    print(f"model.json and model.onnx written; {right:.1%} of the examples are predicted right")
