// What the last event of a response says of it.

// Between the thoughts of one answer, which the page shows as one.
export const BETWEEN_THOUGHTS = "\n\n";

// response: that of `response.completed`, `response.incomplete` or `response.failed`
export function outcomeOf({ output, status, usage, error, chatstream }) {
  const parts = output.flatMap(({ type, content }) => (type === "message" ? content : []));
  const thoughts = output.filter(({ type }) => type === "reasoning");
  return {
    status,
    text: joined(parts, "output_text", "text"),
    refusal: joined(parts, "refusal", "refusal"),
    reasoning: thoughts
      .map(({ content }) => joined(content ?? [], "reasoning_text", "text"))
      .filter(Boolean)
      .join(BETWEEN_THOUGHTS),
    calls: output.filter(({ type }) => type === "function_call"),
    usage: { output_tokens: usage?.output_tokens ?? 0 },
    timings: {
      total_ms: chatstream?.timings?.total_ms ?? 0,
      reasoning_ms: chatstream?.timings?.reasoning_ms ?? 0,
    },
    error,
  };
}

function joined(parts, kind, field) {
  return parts.map((part) => (part.type === kind ? part[field] : "")).join("");
}
