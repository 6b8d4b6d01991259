export function create() {
  return { sum: 0, weight: 0 };
}

export function accumulate(state, amount, weight) {
  state.sum += amount * weight;
  state.weight += weight;
}

export function merge(state, other) {
  state.sum += other.sum;
  state.weight += other.weight;
}

export function finish(state) {
  return state.weight === 0 ? null : state.sum / state.weight;
}
