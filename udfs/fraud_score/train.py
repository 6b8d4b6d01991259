"""Trains the model of fraud_score in a second: logistic regression over transactions, by gradient descent.

    python3 udfs/fraud_score/train.py          writes model.json beside it

The transactions are those of sql/data; that some of them are fraud is made up here: large purchases at night, with noise.
Put your own rows and labels into `examples` and nothing else changes.
"""
import json, math, pathlib, random

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


if __name__ == "__main__":
    model, right = train()
    (HERE / "model.json").write_text(json.dumps(model) + "\n")
    print(f"model.json written; {right:.1%} of the examples are predicted right")
