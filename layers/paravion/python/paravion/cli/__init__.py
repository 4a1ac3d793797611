"""The commands: sendmail, mailq, newaliases and paravion."""
