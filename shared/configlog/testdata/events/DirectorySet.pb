
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
_
4type.googleapis.com/gatehouse.config.v1.DirectorySet'
jiraa sourcea url"	a account*˜*
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden