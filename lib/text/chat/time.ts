/** The part of Python's `strftime` that templates of chats use. */
import { ValueError } from '../../core/errors.js'

const two = (value: number) => String(value).padStart(2, '0')
const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const months = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]

const directives: { readonly [letter: string]: (date: Date) => string } = {
  Y: (date) => String(date.getFullYear()),
  y: (date) => two(date.getFullYear() % 100),
  m: (date) => two(date.getMonth() + 1),
  d: (date) => two(date.getDate()),
  B: (date) => months[date.getMonth()] as string,
  b: (date) => (months[date.getMonth()] as string).slice(0, 3),
  A: (date) => days[date.getDay()] as string,
  a: (date) => (days[date.getDay()] as string).slice(0, 3),
  H: (date) => two(date.getHours()),
  I: (date) => two(date.getHours() % 12 || 12),
  p: (date) => (date.getHours() < 12 ? 'AM' : 'PM'),
  M: (date) => two(date.getMinutes()),
  S: (date) => two(date.getSeconds()),
  '%': () => '%',
}

export function strftime(op: string, format: string, date: Date): string {
  return format.replace(/%(.?)/gs, (_, letter: string) => {
    const write = Object.hasOwn(directives, letter) ? directives[letter] : undefined
    if (write === undefined)
      throw new ValueError(op, `the template formats the date with %${letter}, which is not supported`)
    return write(date)
  })
}
