// send.mjs PORT none|starttls FILE FROM TO...: sends the message in FILE by nodemailer, as it is.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const nodemailer = createRequire(process.cwd() + '/')('nodemailer')
const [port, tls, file, from, ...to] = process.argv.slice(2)
const transport = nodemailer.createTransport({
  host: '127.0.0.1',
  port: Number(port),
  secure: false,
  ignoreTLS: tls === 'none',
  requireTLS: tls === 'starttls',
  tls: { rejectUnauthorized: false },
})
const info = await transport.sendMail({ envelope: { from, to }, raw: readFileSync(file) })
console.log(info.response)
transport.close()
