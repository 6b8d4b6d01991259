"""The chance from 0 to 1 that a transaction is fraud. The model is loaded once for each worker."""
import json, pathlib

from train import features, predict

MODEL = json.loads((pathlib.Path(__file__).parent / "model.json").read_text())


def fraud_score(amount: float, stock: str, seconds: int) -> float:
    if amount is None or stock is None or seconds is None:
        return None
    return round(predict(MODEL, features(amount, stock, seconds)), 4)
