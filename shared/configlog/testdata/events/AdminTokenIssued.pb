
v
8type.googleapis.com/gatehouse.config.v1.AdminTokenIssued:
a namea role 77777777777777777777777777777777"¥ÒáÙ
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden