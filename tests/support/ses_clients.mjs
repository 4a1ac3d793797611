// SES clients for Node in one process: the AWS SDK v3 in both versions, and nodemailer's SES transport.
// argv: the folder with node_modules, the endpoint, access key, secret key. Prints a line of JSON for each mail.
import { createRequire } from "node:module";

const [folder, endpoint, accessKeyId, secretAccessKey] = process.argv.slice(2);
const require = createRequire(`${folder}/x.js`);
const v1 = require("@aws-sdk/client-ses");
const v2 = require("@aws-sdk/client-sesv2");
const nodemailer = require("nodemailer");

const config = { endpoint, region: "us-east-1", credentials: { accessKeyId, secretAccessKey }, maxAttempts: 1 };
const from = "sender@example.org";
const tell = (client, id) => console.log(JSON.stringify({ client, id }));

const ses = new v1.SESClient(config);
const first = await ses.send(new v1.SendEmailCommand({
    Source: from,
    Destination: { ToAddresses: ["sdk-v1-a@example.com", "sdk-v1-b@example.com"] },
    Message: { Subject: { Data: "Grüße v1" }, Body: { Text: { Data: "text" }, Html: { Data: "<p>html</p>" } } },
}));
tell("sdk-v1", first.MessageId);

const sesv2 = new v2.SESv2Client(config);
const second = await sesv2.send(new v2.SendEmailCommand({
    FromEmailAddress: from,
    Destination: { ToAddresses: ["sdk-v2@example.com"] },
    Content: { Simple: { Subject: { Data: "Grüße v2" }, Body: { Text: { Data: "text" } } } },
}));
tell("sdk-v2", second.MessageId);
await sesv2.send(new v2.CreateContactListCommand({ ContactListName: "node" }));
const lists = await sesv2.send(new v2.ListContactListsCommand({}));
tell("lists", lists.ContactLists.map((list) => list.ContactListName).join());
try {
    await sesv2.send(new v2.GetContactListCommand({ ContactListName: "nobody" }));
} catch (error) {
    tell("error", `${error instanceof v2.NotFoundException} ${error.name} ${error.$metadata.httpStatusCode}`);
}
try {
    await ses.send(new v1.GetCustomVerificationEmailTemplateCommand({ TemplateName: "nobody" }));
} catch (error) {
    tell("error-v1", `${error instanceof v1.CustomVerificationEmailTemplateDoesNotExistException} ${error.$metadata.httpStatusCode}`);
}

const transport = nodemailer.createTransport({ SES: { sesClient: sesv2, SendEmailCommand: v2.SendEmailCommand } });
const third = await transport.sendMail({
    from, to: "nodemailer@example.com", bcc: "nodemailer-bcc@example.com", subject: "Grüße nodemailer", text: "text",
    attachments: [{ filename: "a.txt", content: "attached" }],
});
tell("nodemailer", third.messageId);
