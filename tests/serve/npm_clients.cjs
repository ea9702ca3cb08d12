// Asks a server by the packages `openai`, `@anthropic-ai/sdk` and `ai`, as a JavaScript program would, and prints
// what came of it as one JSON object. Arguments: the server's address up to /v1.
const OpenAI = require("openai");
const Anthropic = require("@anthropic-ai/sdk");
const { generateText, streamText, generateObject, tool } = require("ai");
const { createOpenAI } = require("@ai-sdk/openai");
const { createOpenAICompatible } = require("@ai-sdk/openai-compatible");
const { z } = require("zod");

const baseURL = process.argv[2];
const model = "careful";
const messages = [{ role: "user", content: "What is 2 + 2?" }];
const prompt = "What is 2 + 2?";

async function textOf(stream, read) {
  let text = "";
  for await (const event of stream) text += read(event) ?? "";
  return text;
}

async function main() {
  const told = {};
  const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
  told.chat = (await client.chat.completions.create({ model, messages })).choices[0].message.content;
  told.chatStream = await textOf(
    await client.chat.completions.create({ model, messages, stream: true }),
    (chunk) => chunk.choices[0]?.delta.content,
  );
  told.completion = (await client.completions.create({ model, prompt })).choices[0].text;
  told.responses = (await client.responses.create({ model, input: prompt })).output_text;
  told.responsesStream = await textOf(
    await client.responses.create({ model, input: prompt, stream: true }),
    (event) => (event.type === "response.output_text.delta" ? event.delta : ""),
  );
  told.refusal = await client.responses.create({ model, input: prompt, background: true }).catch((e) => e.param);

  const claude = new Anthropic({ baseURL: baseURL.replace(/\/v1$/, ""), apiKey: "none", maxRetries: 0 });
  const asked = { model, max_tokens: 50, messages };
  told.messages = (await claude.messages.create(asked)).content[0].text;
  told.messagesStream = (await claude.messages.stream(asked).finalMessage()).content[0].text;

  const providers = {
    compatible: createOpenAICompatible({ name: "sampleset", baseURL, apiKey: "none" })(model),
    openai: createOpenAI({ baseURL, apiKey: "none" })(model),
  };
  for (const [name, own] of Object.entries(providers)) {
    told[`${name}Text`] = (await generateText({ model: own, prompt })).text;
    told[`${name}Stream`] = await streamText({ model: own, prompt }).text;
    const weather = tool({ inputSchema: z.object({ city: z.string() }), execute: async ({ city }) => `rain in ${city}` });
    const calls = await generateText({ model: own, prompt: "call a tool", tools: { weather } });
    told[`${name}Tool`] = calls.toolResults[0].output;
    const streamed = streamText({ model: own, prompt: "call a tool", tools: { weather } });
    told[`${name}ToolStream`] = (await streamed.toolResults)[0].output;
    const schema = z.object({ city: z.string() });
    told[`${name}Object`] = (await generateObject({ model: own, schema, prompt: "an object" })).object.city;
  }
  console.log(JSON.stringify(told));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
