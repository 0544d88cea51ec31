// Drives Jira through Gatehouse with jira.js as a user of that library would: HOST, and TOKEN or PASSWORD, come from the environment.
import assert from 'node:assert/strict';
import { Version2Client } from 'jira.js';

const client = new Version2Client({
  host: process.env.HOST,
  authentication: process.env.PASSWORD
    ? { basic: { email: process.env.EXPECT_USER, apiToken: process.env.PASSWORD } }
    : { oauth2: { accessToken: process.env.TOKEN } },
});

const me = await client.myself.getCurrentUser();
assert.equal(me.name, process.env.EXPECT_USER);

const found = await client.issueSearch.searchForIssuesUsingJqlPost({ jql: 'project = LAB', maxResults: 2 });
assert.ok(found.total >= 1, 'search finds the lab issues');

const made = await client.issues.createIssue({
  fields: { project: { key: 'LAB' }, summary: 'made by jira.js', issuetype: { name: 'Task' } },
});
const read = await client.issues.getIssue({ issueIdOrKey: made.key });
assert.equal(read.fields.summary, 'made by jira.js');

const attached = await client.issueAttachments.addAttachment({
  issueIdOrKey: made.key,
  attachment: { filename: 'note.txt', file: Buffer.from('hello') },
});
assert.equal(attached[0].filename, 'note.txt');

const stranger = new Version2Client({
  host: process.env.HOST,
  authentication: { oauth2: { accessToken: 'wrong' } },
});
await assert.rejects(stranger.myself.getCurrentUser(), (error) => {
  const status = error.status ?? error.response?.status ?? error.cause?.response?.status;
  assert.equal(status, 401);
  return true;
});
console.log('jira.js: all as it should be');
