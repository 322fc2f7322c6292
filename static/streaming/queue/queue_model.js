// What the server has said of the queue: its tables' rows and the parts of the page, merged from
// frames that say what has changed.

const TABLES = ["workers", "running", "waiting", "owners"];

export class Model {
  #tables = Object.fromEntries(TABLES.map((name) => [name, new Map()]));

  // A frame's tables: { name: { rows, gone, order } }; `whole`: they replace all that is known.
  merge(frame) {
    if (frame.whole) for (const table of Object.values(this.#tables)) table.clear();
    for (const [name, changes] of Object.entries(frame.tables)) this.#change(name, changes);
  }

  #change(name, { rows = {}, gone = [], order }) {
    const table = this.#tables[name];
    for (const key of gone) table.delete(key);
    for (const [key, news] of Object.entries(rows)) {
      const known = table.get(key);
      // New names make it another row.
      if (!known || news.names) table.set(key, { key, ...news });
      else {
        if (news.states !== undefined) known.states = news.states;
        Object.assign(known.parts, news.parts);
      }
    }
    if (order) this.#tables[name] = new Map(order.map((key) => [key, table.get(key)]));
  }

  // The rows of each table, in order: { key, names, states, parts }.
  get rows() {
    const lists = Object.entries(this.#tables).map(([name, rows]) => [name, [...rows.values()]]);
    return Object.fromEntries(lists);
  }
}
