// What an API knows about a sensor; NULL for one that it does not know.
export async function sensor_info(id, api) {
  if (id === null) return null;
  const answer = await fetch(`${api}/sensors/${encodeURIComponent(id)}`);
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const { brand, country } = await answer.json();
  return { brand, country };
}
