// Renders one case a line, {"template", "data", "strict"}, to {"text"} or {"error"}.
//
// With noEscape alone handlebars.js adds two numbers that stand side by side ({{a}}{{b}} of 1 and 2 is 3): values are
// made text by its escaping instead, and the tests' data has nothing that would be escaped.
import { createInterface } from "node:readline";
import Handlebars from "handlebars";

for await (const line of createInterface({ input: process.stdin })) {
  const { template, data, strict } = JSON.parse(line);
  let answer;
  try {
    const instance = Handlebars.create();
    instance.log = () => {}; // it would write among the answers
    answer = { text: instance.compile(template, { strict })(data) };
  } catch (error) {
    answer = { error: String(error.message) };
  }
  console.log(JSON.stringify(answer));
}
